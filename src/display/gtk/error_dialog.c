/* An error in a dialog of GTK's, with no window of ours open (src/error_dialog.h). Called by main's
 * thread when no display is left. */
#include <gtk/gtk.h>

extern int vmgui_show_error(const char *title, const char *text);

int vmgui_show_error(const char *title, const char *text)
{
	GtkWidget *dialog;

	if (!gtk_init_check(NULL, NULL))
		return -1;
	dialog = gtk_message_dialog_new(
		NULL, 0, GTK_MESSAGE_ERROR, GTK_BUTTONS_CLOSE, "vmgui could not go on");
	gtk_message_dialog_format_secondary_text(GTK_MESSAGE_DIALOG(dialog), "%s", text);
	gtk_window_set_title(GTK_WINDOW(dialog), title);
	(void)gtk_dialog_run(GTK_DIALOG(dialog));
	gtk_widget_destroy(dialog);
	while (gtk_events_pending())
		gtk_main_iteration();
	return 0;
}
