/* What the window's menus offer. */
#include "display/gtk/shortcuts.h"
#include "display/gtk/window.h"

static void add_section(GMenu *menu, const char *label, GMenu *section)
{
	g_menu_append_section(menu, label, G_MENU_MODEL(section));
	g_object_unref(section);
}

static void add_submenu(GMenu *menu, const char *label, GMenu *submenu)
{
	g_menu_append_submenu(menu, label, G_MENU_MODEL(submenu));
	g_object_unref(submenu);
}

static GMenu *scales(void)
{
	static const char *const percents[] = { "50", "100", "150", "200", "300", "400" };
	GMenu *menu = g_menu_new(), *follow = g_menu_new(), *fixed = g_menu_new();
	GMenu *steps = g_menu_new();

	g_menu_append(follow, "_Fit the Window", "win.scale::fit");
	g_menu_append(follow, "By _Whole Factors", "win.scale::integer");
	for (size_t i = 0; i < array_size(percents); i++) {
		char label[16], action[32];

		g_snprintf(label, sizeof(label), "%s %%", percents[i]);
		g_snprintf(action, sizeof(action), "win.scale::%s", percents[i]);
		g_menu_append(fixed, label, action);
	}
	g_menu_append(steps, "_Larger", "win.zoom-in");
	g_menu_append(steps, "_Smaller", "win.zoom-out");
	add_section(menu, NULL, follow);
	add_section(menu, NULL, fixed);
	add_section(menu, NULL, steps);
	return menu;
}

static GMenu *filters(void)
{
	GMenu *menu = g_menu_new();

	g_menu_append(menu, "_Automatic", "win.filter::auto");
	g_menu_append(menu, "_Nearest Pixel", "win.filter::nearest");
	g_menu_append(menu, "_Smooth", "win.filter::smooth");
	return menu;
}

char *menu_accelerator(const struct key_chord *chord)
{
	static const struct {
		unsigned ours;
		GdkModifierType gdk;
	} modifiers[] = { { CHORD_CTRL, GDK_CONTROL_MASK }, { CHORD_ALT, GDK_MOD1_MASK },
		{ CHORD_SHIFT, GDK_SHIFT_MASK }, { CHORD_SUPER, GDK_SUPER_MASK } };
	GdkModifierType mask = 0;

	if (!chord->keysym || chord->lone)
		return NULL;
	for (size_t i = 0; i < array_size(modifiers); i++) {
		if (chord->modifiers & modifiers[i].ours)
			mask |= modifiers[i].gdk;
	}
	return gtk_accelerator_name(chord->keysym, mask);
}

/* Its key is the release chord, which is shown only: keyboard.c knows it. */
static void append_grab(GMenu *menu, const struct window *window)
{
	GMenuItem *item = g_menu_item_new("_Grab Keyboard and Mouse", "win.grab");
	char *accelerator = menu_accelerator(&window->settings->release);

	if (accelerator)
		g_menu_item_set_attribute(item, "accel", "s", accelerator);
	g_menu_append_item(menu, item);
	g_object_unref(item);
	g_free(accelerator);
}

GMenuModel *menu_of_machine(const struct window *window)
{
	GMenu *menu = g_menu_new(), *power = g_menu_new(), *picture = g_menu_new();
	GMenu *shots = g_menu_new(), *input = g_menu_new(), *about = g_menu_new();

	g_menu_append(power, "_Pause", "win.pause");
	g_menu_append(power, "Power _Down", "win.power-down");
	g_menu_append(power, "_Reset…", "win.reset");
	g_menu_append(power, "Force _Off…", "win.force-off");
	add_section(menu, NULL, power);
	g_menu_append(picture, "_Full Screen", "win.fullscreen");
	add_submenu(picture, "_Scale", scales());
	add_submenu(picture, "Scaled _Pixels", filters());
	if (window->console) {
		GMenu *tabs = g_menu_new();

		g_menu_append(tabs, "_Screen", "win.tab::screen");
		g_menu_append(tabs, "Serial _Console", "win.tab::console");
		add_submenu(picture, "_Tab", tabs);
	}
	add_section(menu, NULL, picture);
	g_menu_append(shots, "Take a S_creenshot", "win.screenshot");
	g_menu_append(shots, "Save Screenshot _As…", "win.screenshot-as");
	g_menu_append(shots, "Copy Scree_nshot", "win.screenshot-copy");
	add_section(menu, NULL, shots);
	append_grab(input, window);
	g_menu_append(input, "T_ype the Clipboard's Text", "win.paste");
	add_submenu(input, "Send _Keys", G_MENU(menu_of_keys()));
	add_section(menu, NULL, input);
	g_menu_append(about, "Keyboard S_hortcuts", "win.shortcuts");
	g_menu_append(about, "A_bout vmgui", "win.about");
	g_menu_append(about, "C_lose", "win.close");
	add_section(menu, NULL, about);
	return G_MENU_MODEL(menu);
}

GMenuModel *menu_of_keys(void)
{
	GMenu *menu = g_menu_new(), *group = NULL;
	const char *group_label = NULL;

	for (const struct key_combination *keys = key_combinations; keys->name; keys++) {
		char action[64];

		if (group && g_strcmp0(keys->group, group_label) != 0) {
			add_submenu(menu, group_label, group);
			group = NULL;
		}
		if (keys->group && !group)
			group = g_menu_new();
		group_label = keys->group;
		g_snprintf(action, sizeof(action), "win.send-keys::%s", keys->name);
		g_menu_append(group ? group : menu, keys->label, action);
	}
	if (group)
		add_submenu(menu, group_label, group);
	return G_MENU_MODEL(menu);
}
