# vmgui_module(NAME source...): the shared object vmgui-NAME.so, loaded on demand by core/module.h.
#
# The target is vmgui_NAME. It stands beside the programs in the build tree and goes to LIBDIR/vmgui when
# installed. It leaves what it needs of the program undefined; the program exports it (ENABLE_EXPORTS).
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(VMGUI_MODULE_INSTALL_DIR ${CMAKE_INSTALL_LIBDIR}/vmgui)
set(VMGUI_MODULE_DIR ${CMAKE_INSTALL_FULL_LIBDIR}/vmgui)

function(vmgui_module name)
  add_library(vmgui_${name} MODULE ${ARGN})
  target_include_directories(vmgui_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(vmgui_${name} PRIVATE vmgui_flags)
  set_target_properties(vmgui_${name} PROPERTIES PREFIX "" OUTPUT_NAME vmgui-${name}
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
  # Beside the program itself, too, which stands one folder higher than the tests.
  add_custom_command(TARGET vmgui_${name} POST_BUILD COMMAND ${CMAKE_COMMAND} -E create_symlink
    $<TARGET_FILE:vmgui_${name}> ${PROJECT_BINARY_DIR}/vmgui-${name}.so VERBATIM)
  install(TARGETS vmgui_${name} LIBRARY DESTINATION ${VMGUI_MODULE_INSTALL_DIR})
endfunction()
