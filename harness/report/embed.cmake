# Writes OUTPUT, C++ that defines the assets of assets.h from the files page.html, page.css and page.js of
# FOLDER and from LIBRARY.
set(code "#include \"harness/report/assets.h\"\n\nnamespace kvg::harness::report {\n")
foreach(asset "kPage=${FOLDER}/page.html" "kStyle=${FOLDER}/page.css" "kScript=${FOLDER}/page.js" "kLibrary=${LIBRARY}")
  string(REGEX MATCH "^([^=]*)=(.*)$" unused "${asset}")
  set(name "${CMAKE_MATCH_1}")
  file(READ "${CMAKE_MATCH_2}" text)
  string(APPEND code "const std::string_view ${name} = R\"kvgauge(${text})kvgauge\";\n")
endforeach()
string(APPEND code "}  // namespace kvg::harness::report\n")
file(WRITE "${OUTPUT}" "${code}")
