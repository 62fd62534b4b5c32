# The warnings and hardening that every target of the project is built with.
#   vmgui_flags   interface target: language level, warnings, sanitizers, hardening
include(CheckCCompilerFlag)
add_library(vmgui_flags INTERFACE)
target_compile_features(vmgui_flags INTERFACE c_std_11)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET default)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

target_compile_definitions(vmgui_flags INTERFACE _GNU_SOURCE VMGUI_VERSION="${PROJECT_VERSION}")
target_compile_options(vmgui_flags INTERFACE $<$<COMPILE_LANGUAGE:C>:
  -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla>)
# The kernel's headers end structs with open arrays that their users put storage behind.
target_compile_options(vmgui_flags INTERFACE $<$<C_COMPILER_ID:Clang>:-Wno-gnu-variable-sized-type-not-at-end>)
if(VMGUI_WERROR)
  target_compile_options(vmgui_flags INTERFACE -Werror)
endif()

if(VMGUI_SANITIZE)
  # -g1: the line numbers that a report needs
  target_compile_options(vmgui_flags INTERFACE
    -fsanitize=${VMGUI_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  target_link_options(vmgui_flags INTERFACE -fsanitize=${VMGUI_SANITIZE})
endif()
if(VMGUI_FUZZ)
  target_compile_options(vmgui_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

if(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  target_compile_options(vmgui_flags INTERFACE $<$<COMPILE_LANGUAGE:C>:-fstack-protector-strong>)
  # Sanitizers are to see variables that nobody set, and clang 14 has the zero kind only behind a switch.
  if(NOT VMGUI_SANITIZE)
    target_compile_options(vmgui_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
    check_c_compiler_flag(-ftrivial-auto-var-init=zero VMGUI_HAVE_AUTO_VAR_INIT)
    if(VMGUI_HAVE_AUTO_VAR_INIT)
      target_compile_options(vmgui_flags INTERFACE $<$<COMPILE_LANGUAGE:C>:-ftrivial-auto-var-init=zero>)
    endif()
  endif()
  target_link_options(vmgui_flags INTERFACE -Wl,-z,relro,-z,now)
endif()
include(CheckPIESupported)
check_pie_supported()
