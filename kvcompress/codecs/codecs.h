#pragma once

#include "kvcompress/codec.h"

namespace kvg::kvcompress {

extern const CodecInfo kF32;
extern const CodecInfo kF16;
extern const CodecInfo kBf16;
extern const CodecInfo kFp8;
extern const CodecInfo kInt8;
extern const CodecInfo kInt4;
extern const CodecInfo kInt2;
extern const CodecInfo kHadamardInt8;
extern const CodecInfo kHadamardInt4;
extern const CodecInfo kQ8;
extern const CodecInfo kQ6;
extern const CodecInfo kQ4;
extern const CodecInfo kQ8Block;
extern const CodecInfo kQ4Block;
extern const CodecInfo kKivi4;
extern const CodecInfo kKivi2;
extern const CodecInfo kNvfp4;
extern const CodecInfo kMxfp4;
extern const CodecInfo kTurbo4;
extern const CodecInfo kTurbo3;
extern const CodecInfo kThink;

}  // namespace kvg::kvcompress
