from __future__ import annotations

from django.contrib.auth import get_user_model
from django.urls import include, path
from rest_framework import routers, serializers, viewsets

from tests.matrix.apps.django_site import urlpatterns_with


class UserSerializer(serializers.HyperlinkedModelSerializer):
    class Meta:
        model = get_user_model()
        fields = ("url", "username")


class UserViewSet(viewsets.ModelViewSet):
    queryset = get_user_model().objects.order_by("pk")
    serializer_class = UserSerializer


router = routers.DefaultRouter()
router.register("users", UserViewSet)
urlpatterns = urlpatterns_with(path("api/", include(router.urls)))
