# Writes build_info.generated.h at every build, touching it only when something changed. KVG_COMMIT
# names the commit where there is no git: in a source archive, or on another machine.
set(commit unknown)
set(dirty std::nullopt)
find_package(Git QUIET)
if(Git_FOUND)
  # The checkout may belong to another user than the one who builds it.
  set(git "${GIT_EXECUTABLE}" -c "safe.directory=${ROOT}" -C "${ROOT}")
  execute_process(COMMAND ${git} rev-parse HEAD
    RESULT_VARIABLE failed OUTPUT_VARIABLE head ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT failed)
    # Only what is compiled or shipped counts; results and documents do not.
    execute_process(
      COMMAND ${git} status --porcelain -- kernels kvcompress model datasets harness CMakeLists.txt CMakePresets.json
      RESULT_VARIABLE failed OUTPUT_VARIABLE changes ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(NOT failed)
      set(commit "${head}")
      set(dirty true)
      if(changes STREQUAL "")
        set(dirty false)
      endif()
    endif()
  endif()
endif()
if(commit STREQUAL "unknown" AND KVG_COMMIT)
  string(REGEX MATCH "^[0-9a-f]+" commit "${KVG_COMMIT}")
  set(dirty false)
  if(KVG_COMMIT MATCHES "-dirty$")
    set(dirty true)
  endif()
endif()
configure_file("${TEMPLATE}" "${OUTPUT}" @ONLY)
