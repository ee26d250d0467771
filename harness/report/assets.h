#pragma once

#include <string_view>

namespace kvg::harness::report {

// The parts of the page, embedded by the build from page/ and the charts' library, so that a report
// is one file without any network.
extern const std::string_view kPage;     ///< the frame, with {{names}} where parts go
extern const std::string_view kStyle;    ///< CSS
extern const std::string_view kScript;   ///< sorting and drawing
extern const std::string_view kLibrary;  ///< Chart.js, minified

}  // namespace kvg::harness::report
