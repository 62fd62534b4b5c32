/* From SDL's hardware scancodes (USB HID usages of the keyboard page and a few of SDL's own) to
 * evdev codes, and from its symbols to X's. Threads: any. */
#ifndef VMGUI_DISPLAY_SDL_SCANCODES_H
#define VMGUI_DISPLAY_SDL_SCANCODES_H

#include <stdint.h>

/* 0: no such key. */
unsigned sdl_scancode_to_evdev(unsigned scancode);

/* The X keysym of what a key says without Shift: SDL's key code, and the key it is on. 0: none. */
uint32_t sdl_keysym(int32_t keycode, unsigned scancode);

#endif
