"""Django Channels. Its routers put what is left of the path into the scope."""

from mountkit.frameworks import Framework

CHANNELS = Framework(
    name="Channels",
    app=("channels.routing", "ProtocolTypeRouter"),
    left_keys="path_remaining url_route",
)
