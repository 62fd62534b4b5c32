/* From SDL's hardware scancodes (USB HID usages of the keyboard page and a few of SDL's own) to
 * evdev codes. Threads: any. */
#ifndef VMGUI_DISPLAY_SDL_SCANCODES_H
#define VMGUI_DISPLAY_SDL_SCANCODES_H

/* 0: no such key. */
unsigned sdl_scancode_to_evdev(unsigned scancode);

#endif
