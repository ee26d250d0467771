#include "harness/report/renderer.h"

#include <array>
#include <filesystem>

#include "kernels/core/error.h"

namespace kvg::harness::report {
namespace {

constexpr std::array kRenderers{Renderer{"markdown", ".md", render_markdown},
                                Renderer{"html", ".html", render_html},
                                Renderer{"csv", ".csv", render_csv},
                                Renderer{"json", ".json", render_json}};

std::string known(std::string_view Renderer::*member) {
  std::string names;
  for (const Renderer& renderer : kRenderers) {
    names += (names.empty() ? "" : ", ") + std::string(renderer.*member);
  }
  return names;
}

}  // namespace

std::span<const Renderer> renderers() {
  return kRenderers;
}

const Renderer& renderer_named(const std::string& name) {
  for (const Renderer& renderer : kRenderers) {
    if (renderer.name == name) {
      return renderer;
    }
  }
  throw InvalidArgument("--format " + name + " is unknown; allowed: " + known(&Renderer::name));
}

const Renderer& renderer_for(const std::string& file) {
  const std::string extension = std::filesystem::path(file).extension().string();
  for (const Renderer& renderer : kRenderers) {
    if (renderer.extension == extension) {
      return renderer;
    }
  }
  throw InvalidArgument("--output " + file + " names no format; give --format, or one of " +
                        known(&Renderer::extension));
}

}  // namespace kvg::harness::report
