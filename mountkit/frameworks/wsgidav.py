"""WsgiDAV. It is told its prefix, for the links of its answers."""

from mountkit.frameworks import Framework, unless_told

WSGIDAV = Framework(
    name="WsgiDAV",
    app=("wsgidav.wsgidav_app", "WsgiDAVApp"),
    advice=unless_told(
        lambda app: app.config.get("mount_path"),
        "WsgiDAV writes its answers with mount_path={told!r}; write 'mount_path': {prefix!r} "
        "into its configuration",
    ),
)
