"""A desktop portal that knows the desktop's colour scheme (org.freedesktop.portal.Settings), on the session bus: 1 is dark, 2 is light.

Run by the system's Python, which has the bindings (python3-gi): portal.py SCHEME. Says "ready", then reads other schemes from
stdin, a line each, and tells them to whoever listens. Exits with 77 where the bindings are not installed.
"""

import sys

try:
    from gi.repository import Gio, GLib
except ImportError:
    sys.exit(77)

APPEARANCE, KEY = "org.freedesktop.appearance", "color-scheme"
INTERFACE, PATH = "org.freedesktop.portal.Settings", "/org/freedesktop/portal/desktop"
DESCRIPTION = f"""<node><interface name="{INTERFACE}">
<method name="Read"><arg type="s" direction="in"/><arg type="s" direction="in"/><arg type="v" direction="out"/></method>
<signal name="SettingChanged"><arg type="s"/><arg type="s"/><arg type="v"/></signal>
</interface></node>"""


class Portal:
    def __init__(self, scheme):
        self._scheme = scheme
        self._loop = GLib.MainLoop()
        self._bus = Gio.bus_get_sync(Gio.BusType.SESSION, None)
        interface = Gio.DBusNodeInfo.new_for_xml(DESCRIPTION).interfaces[0]
        self._bus.register_object(PATH, interface, self._call, None, None)
        Gio.bus_own_name_on_connection(
            self._bus, "org.freedesktop.portal.Desktop", Gio.BusNameOwnerFlags.NONE, lambda *_: print("ready", flush=True), None
        )
        GLib.io_add_watch(sys.stdin.fileno(), GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN | GLib.IOCondition.HUP, self._line)

    def run(self):
        self._loop.run()

    def _call(self, _bus, _sender, _path, _interface, _method, parameters, invocation):
        if parameters.unpack() == (APPEARANCE, KEY):
            # Wrapped twice, as real portals do it.
            value = GLib.Variant("v", GLib.Variant("u", self._scheme))
            invocation.return_value(GLib.Variant("(v)", (value,)))
        else:
            invocation.return_dbus_error("org.freedesktop.portal.Error.NotFound", "no such setting")

    def _line(self, *_):
        line = sys.stdin.readline()
        if not line:
            self._loop.quit()
            return False
        self._scheme = int(line)
        changed = GLib.Variant("(ssv)", (APPEARANCE, KEY, GLib.Variant("u", self._scheme)))
        self._bus.emit_signal(None, PATH, INTERFACE, "SettingChanged", changed)
        return True


Portal(int(sys.argv[1])).run()
