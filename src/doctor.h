/* vmgui doctor: whether this machine can run guests, in words, and how fast its KVM runs a guest's
 * kernel code (some emulate it, one instruction at a time). */
#ifndef VMGUI_DOCTOR_H
#define VMGUI_DOCTOR_H

/* Prints to stdout; the exit status: 0 guests run, 1 they do not. */
int doctor_run(void);

#endif
