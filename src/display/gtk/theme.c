/* Dark or light, as the desktop is. GTK 3 follows its theme's name and the setting
 * gtk-application-prefer-dark-theme by itself; what it does not know is the desktop's colour
 * scheme, which the portal tells (org.freedesktop.portal.Settings, "color-scheme": 1 is dark).
 *
 * Nothing waits for the portal: where there is none, the answer never comes. */
#include <string.h>

#include "display/gtk/window.h"

#define PORTAL         "org.freedesktop.portal.Desktop"
#define PORTAL_PATH    "/org/freedesktop/portal/desktop"
#define PORTAL_SETTING "org.freedesktop.portal.Settings"
#define APPEARANCE     "org.freedesktop.appearance"
#define COLOR_SCHEME   "color-scheme"
#define PREFER_DARK    "gtk-application-prefer-dark-theme"

static void follow(GVariant *value)
{
	GVariant *inner;

	/* Read wraps it twice. */
	while (g_variant_is_of_type(value, G_VARIANT_TYPE_VARIANT)) {
		inner = g_variant_get_variant(value);
		follow(inner);
		g_variant_unref(inner);
		return;
	}
	if (!g_variant_is_of_type(value, G_VARIANT_TYPE_UINT32))
		return;
	if (g_variant_get_uint32(value))
		g_object_set(gtk_settings_get_default(), PREFER_DARK,
			g_variant_get_uint32(value) == 1, NULL);
	else /* no preference, which is how GNOME goes back from dark */
		gtk_settings_reset_property(gtk_settings_get_default(), PREFER_DARK);
}

static void on_answer(GObject *bus, GAsyncResult *result, gpointer opaque)
{
	GVariant *answer = g_dbus_connection_call_finish(G_DBUS_CONNECTION(bus), result, NULL);
	GVariant *value;

	(void)opaque; /* may be gone */
	if (!answer)
		return;
	value = g_variant_get_child_value(answer, 0);
	follow(value);
	g_variant_unref(value);
	g_variant_unref(answer);
}

static void on_setting(GDBusConnection *bus, const char *sender, const char *path,
	const char *interface, const char *signal, GVariant *parameters, gpointer opaque)
{
	const char *group, *key;
	GVariant *value;

	(void)bus;
	(void)sender;
	(void)path;
	(void)interface;
	(void)signal;
	(void)opaque;
	if (!g_variant_is_of_type(parameters, G_VARIANT_TYPE("(ssv)")))
		return;
	g_variant_get(parameters, "(&s&sv)", &group, &key, &value);
	if (!strcmp(group, APPEARANCE) && !strcmp(key, COLOR_SCHEME))
		follow(value);
	g_variant_unref(value);
}

void theme_init(struct window *window)
{
	GDBusConnection *bus =
		g_application_get_dbus_connection(G_APPLICATION(window->application));

	if (!bus)
		return;
	window->theme_bus = g_object_ref(bus);
	window->theme_request = g_cancellable_new();
	window->theme_subscription =
		g_dbus_connection_signal_subscribe(bus, PORTAL, PORTAL_SETTING, "SettingChanged",
			PORTAL_PATH, APPEARANCE, G_DBUS_SIGNAL_FLAGS_NONE, on_setting, NULL, NULL);
	g_dbus_connection_call(bus, PORTAL, PORTAL_PATH, PORTAL_SETTING, "Read",
		g_variant_new("(ss)", APPEARANCE, COLOR_SCHEME), G_VARIANT_TYPE("(v)"),
		G_DBUS_CALL_FLAGS_NONE, -1, window->theme_request, on_answer, NULL);
}

void theme_fini(struct window *window)
{
	if (!window->theme_bus)
		return;
	g_cancellable_cancel(window->theme_request);
	g_dbus_connection_signal_unsubscribe(window->theme_bus, window->theme_subscription);
	g_clear_object(&window->theme_request);
	g_clear_object(&window->theme_bus);
}
