/* Runs one guest from the command line's wishes to its end. */
#ifndef VMGUI_RUN_H
#define VMGUI_RUN_H

#include "config.h"

/* Returns the exit status; everything has been said on stderr. */
int run_guest(const struct config *config);

#endif
