# The man page and the bash completion, from the program that they describe.
#   cmake -DVMGUI=program -DVERSION=... -DMODULE_DIR=... -DTEMPLATE=vmgui.1.in -DMAN=vmgui.1 -DCOMPLETION=vmgui.bash -P generate.cmake
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND ${VMGUI} help man OUTPUT_VARIABLE OPTIONS OUTPUT_STRIP_TRAILING_WHITESPACE
  COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${VMGUI} help bash-completion OUTPUT_FILE ${COMPLETION} COMMAND_ERROR_IS_FATAL ANY)
configure_file(${TEMPLATE} ${MAN} @ONLY)
# configure_file leaves a file alone whose content is the same; the build goes by the time.
file(TOUCH ${MAN})
