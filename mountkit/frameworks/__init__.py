"""Temporary."""

_LEFT = frozenset(
    "app router endpoint route path_params app_root_path route_root_path starlette.exception_handlers "
    "fastapi fastapi_inner_astack fastapi_function_astack fastapi_middleware_astack litestar_app "
    "route_handler path_remaining".split()
)


def left_keys() -> frozenset[str]:
    return _LEFT


def convention_of(app, prefix):
    from mountkit.wsgi.detection import believes_to_be_alone, wants_stripped_path

    if believes_to_be_alone(app):
        return "none"
    return "strip" if wants_stripped_path(app, prefix) else None


def reversal_of(app):
    from mountkit.frameworks.reversal import reversal_of as f

    return f(app)


def advice(app, prefix):
    from mountkit.frameworks.prefixes import advice as f

    return f(app, prefix)


def route_of(scope):
    context = scope.get("fastapi", {}).get("effective_route_context")
    if context is not None:
        return getattr(context, "starlette_route", None) or context
    return scope.get("route")
