/* --error-dialog: whoever started vmgui from an icon sees no terminal; the errors that end it are
 * shown in a dialog, too.
 *
 * Threads: main collects and shows; errors may come from any. */
#ifndef VMGUI_ERROR_DIALOG_H
#define VMGUI_ERROR_DIALOG_H

/* From here on log_error's lines are kept, up to a few. */
void error_dialog_collect(void);
/* Shows what has been collected, if anything, and waits until it is read. Without a desktop session
 * or a toolkit nothing happens: stderr has it all. A signal that ends programs does so at once,
 * with `status`. */
void error_dialog_show(int status);

/* What a display module may export to show an error without a window of its own. 0: it was shown.
 */
#define ERROR_DIALOG_SYMBOL "vmgui_show_error"
typedef int error_dialog_function(const char *title, const char *text);

#endif
