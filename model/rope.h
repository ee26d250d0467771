#pragma once

#include "model/config.h"
#include "model/json_reader.h"

namespace kvg::model {

/// Reads the rotary settings in either spelling (`rope_parameters`, or `rope_theta` and
/// `rope_scaling` with what the family calls them) into rotary_dim, inverse_frequencies and
/// rope_attention_factor. `config` has its family, heads and max_positions already.
void read_rope(const JsonReader& reader, Config& config);

}  // namespace kvg::model
