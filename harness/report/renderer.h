#pragma once

#include <iosfwd>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/report/run_tables.h"

namespace kvg::harness::report {

/// One form of the report: every form shows the same tables.
struct Renderer {
  std::string_view name;       ///< of --format
  std::string_view extension;  ///< of -o's file, ".html"
  void (*render)(std::span<const Run> runs, std::ostream& out) = nullptr;
};

/// The first is what is printed when nothing else is asked for.
[[nodiscard]] std::span<const Renderer> renderers();

/// Throws InvalidArgument, naming those that are known.
[[nodiscard]] const Renderer& renderer_named(const std::string& name);

/// The one of a file's extension. Throws InvalidArgument, naming those that are known.
[[nodiscard]] const Renderer& renderer_for(const std::string& file);

void render_markdown(std::span<const Run> runs, std::ostream& out);
void render_html(std::span<const Run> runs, std::ostream& out);
void render_csv(std::span<const Run> runs, std::ostream& out);
void render_json(std::span<const Run> runs, std::ostream& out);

}  // namespace kvg::harness::report
