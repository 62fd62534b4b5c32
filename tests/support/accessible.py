"""What a program tells screen readers (AT-SPI): one line a widget that is to be seen, role, name and description between tabs.

Run by the system's Python, which has the bindings (python3-gi, gir1.2-atspi-2.0): accessible.py APPLICATION. Exits with 77 where
they are not installed.
"""

import sys

try:
    import gi

    gi.require_version("Atspi", "2.0")
    from gi.repository import Atspi
except (ImportError, ValueError):
    sys.exit(77)


def show(widget):
    if widget.get_state_set().contains(Atspi.StateType.SHOWING):
        print(widget.get_role_name(), widget.get_name(), widget.get_description(), sep="\t")
    for i in range(widget.get_child_count()):
        child = widget.get_child_at_index(i)
        if child:
            show(child)


def main():
    desktop = Atspi.get_desktop(0)
    for i in range(desktop.get_child_count()):
        application = desktop.get_child_at_index(i)
        if application and application.get_name() == sys.argv[1]:
            show(application)


main()
