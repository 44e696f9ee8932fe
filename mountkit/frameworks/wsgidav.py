"""WsgiDAV. It is told its prefix, for the links of its answers."""

from mountkit.frameworks.base import Framework

WSGIDAV = Framework(
    name="WsgiDAV",
    app=("wsgidav.wsgidav_app", "WsgiDAVApp"),
    told=lambda app: app.config.get("mount_path"),
    advice="WsgiDAV writes its answers with mount_path={told!r}; write 'mount_path': {prefix!r} "
    "into its configuration",
)
