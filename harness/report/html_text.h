#pragma once

#include <string>
#include <string_view>

namespace kvg::harness::report {

/// Text of anybody's as text or as a quoted attribute of HTML: no character of it begins a tag, an
/// entity or the end of an attribute; control characters become spaces.
[[nodiscard]] std::string html_text(std::string_view text);

/// JSON that stands inside a script element: nothing in it ends the element.
[[nodiscard]] std::string html_json(std::string_view json);

/// `frame` with every {{name}} replaced by what `part` yields for it, in one pass: what is put in
/// is never looked at again.
template <typename Part>
[[nodiscard]] std::string filled(std::string_view frame, const Part& part) {
  std::string page;
  while (true) {
    const std::size_t begin = frame.find("{{");
    const std::size_t end = frame.find("}}", begin);
    if (end == std::string_view::npos) {
      return page.append(frame);
    }
    page.append(frame.substr(0, begin));
    page.append(part(frame.substr(begin + 2, end - begin - 2)));
    frame.remove_prefix(end + 2);
  }
}

/// "'sha256-...'": how a Content-Security-Policy names a script or a style that it lets through.
[[nodiscard]] std::string content_hash(std::string_view content);

}  // namespace kvg::harness::report
