//! Compression.

use tulle_proto::envoy::{compressor as pb, core, decompressor as pbde, google, gzip, matcher as pbmatcher};
use tulle_proto::type_url;

use super::context::{At, Context, UNSUPPORTED};
use super::matcher;
use super::value::{RUNTIME_KEY, flag, number};
use crate::runtime::compression::{
    Compressible, Compressor, CompressorChange, ContentTypes, Decompressible, Decompressor,
    ResponseCompression,
};

/// What is compressed where nothing else is said: Envoy's list, synonyms included.
const DEFAULT_TYPES: [&str; 18] = [
    "text/html",
    "text/plain",
    "text/css",
    "application/javascript",
    "application/x-javascript",
    "text/javascript",
    "text/x-javascript",
    "text/ecmascript",
    "text/js",
    "text/jscript",
    "text/x-js",
    "application/ecmascript",
    "application/x-json",
    "application/xml",
    "application/json",
    "image/svg+xml",
    "text/xml",
    "application/xhtml+xml",
];

pub(super) fn compressor(cx: &mut Context<'_>, at: &At<'_>, message: &pb::Compressor) -> Option<Compressor> {
    let pb::Compressor {
        content_length,
        content_type,
        disable_on_etag_header,
        remove_accept_encoding_header,
        runtime_enabled,
        compressor_library,
        request_direction_config,
        response_direction_config,
        choose_first,
    } = message;
    let found = cx.problems();
    let level = library(cx, &at.field("compressor_library"), compressor_library.as_ref());
    let (response, mut options) = match response_direction_config {
        Some(message) => {
            no_effect!(cx, at,
                content_length: "response_direction_config is given",
                content_type: "response_direction_config is given",
                disable_on_etag_header: "response_direction_config is given",
                remove_accept_encoding_header: "response_direction_config is given",
                runtime_enabled: "response_direction_config is given",
            );
            response_direction(cx, &at.field("response_direction_config"), message)
        }
        None => {
            let options = ResponseCompression {
                disable_on_etag: *disable_on_etag_header,
                remove_accept_encoding: *remove_accept_encoding_header,
                ..ResponseCompression::default()
            };
            let direction = Compressible {
                enabled: feature(cx, &at.field("runtime_enabled"), runtime_enabled.as_ref()),
                min_length: u64::from(number(content_length.as_ref(), 30)),
                types: listed(content_type),
            };
            (direction, options)
        }
    };
    options.choose_first = *choose_first;
    let request =
        request_direction_config.as_ref().map(|pb::compressor::RequestDirectionConfig { common_config }| {
            common(cx, &at.field("request_direction_config").field("common_config"), common_config.as_ref())
        });
    (cx.problems() == found).then(|| Compressor { request, response, options, level: level.unwrap_or(6) })
}

fn response_direction(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::compressor::ResponseDirectionConfig,
) -> (Compressible, ResponseCompression) {
    let pb::compressor::ResponseDirectionConfig {
        common_config,
        disable_on_etag_header,
        weaken_etag_on_compress,
        remove_accept_encoding_header,
        uncompressible_response_codes,
        status_header_enabled,
    } = message;
    refuse!(cx, at, status_header_enabled: UNSUPPORTED);
    let codes_at = at.field("uncompressible_response_codes");
    let mut uncompressible = Vec::new();
    for (i, code) in uncompressible_response_codes.iter().enumerate() {
        if let Some(code) = cx.between(&codes_at.index(i), *code, 200, 599) {
            uncompressible.push(u16::try_from(code).unwrap_or_default());
        }
    }
    let options = ResponseCompression {
        disable_on_etag: *disable_on_etag_header,
        weaken_etag: *weaken_etag_on_compress,
        remove_accept_encoding: *remove_accept_encoding_header,
        uncompressible,
        choose_first: false,
    };
    (common(cx, &at.field("common_config"), common_config.as_ref()), options)
}

fn common(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&pb::compressor::CommonDirectionConfig>,
) -> Compressible {
    let default = pb::compressor::CommonDirectionConfig::default();
    let pb::compressor::CommonDirectionConfig {
        enabled,
        min_content_length,
        content_type,
        content_type_matcher,
    } = message.unwrap_or(&default);
    let types = if content_type_matcher.is_empty() {
        listed(content_type)
    } else {
        no_effect!(cx, at, content_type: "content_type_matcher is given");
        ContentTypes::Matching(matchers(cx, &at.field("content_type_matcher"), content_type_matcher))
    };
    Compressible {
        enabled: feature(cx, &at.field("enabled"), enabled.as_ref()),
        min_length: u64::from(number(min_content_length.as_ref(), 30)),
        types,
    }
}

fn matchers(
    cx: &mut Context<'_>,
    at: &At<'_>,
    list: &[pbmatcher::StringMatcher],
) -> Vec<crate::runtime::matcher::StringMatcher> {
    list.iter().enumerate().filter_map(|(i, message)| matcher::string(cx, &at.index(i), message)).collect()
}

fn listed(types: &[String]) -> ContentTypes {
    ContentTypes::These(if types.is_empty() {
        DEFAULT_TYPES.iter().map(|&kind| kind.to_owned()).collect()
    } else {
        types.iter().map(|kind| kind.to_ascii_lowercase()).collect()
    })
}

/// A switch that is on where nothing is said.
fn feature(cx: &mut Context<'_>, at: &At<'_>, message: Option<&core::RuntimeFeatureFlag>) -> bool {
    let Some(core::RuntimeFeatureFlag { default_value, runtime_key }) = message else { return true };
    no_effect!(cx, at, runtime_key: RUNTIME_KEY);
    flag(default_value.as_ref(), true)
}

/// The level of gzip, the only library there is.
fn library(cx: &mut Context<'_>, at: &At<'_>, message: Option<&core::TypedExtensionConfig>) -> Option<u32> {
    use gzip::compressor::gzip::CompressionLevel;
    let core::TypedExtensionConfig { name: _free_text, typed_config } = cx.required(at, message)?;
    let at = at.field("typed_config");
    let any = cx.required(&at, typed_config.as_ref())?;
    if any.type_url != type_url::GZIP_COMPRESSOR {
        cx.unknown_extension(&at, any, "compressor", &[type_url::GZIP_COMPRESSOR]);
        return None;
    }
    let message: gzip::compressor::Gzip = cx.unpack(&at, any)?;
    let gzip::compressor::Gzip {
        memory_level,
        compression_level,
        compression_strategy,
        window_bits,
        chunk_size,
    } = &message;
    bounded(cx, &at.field("memory_level"), memory_level.as_ref(), 1, 9);
    bounded(cx, &at.field("window_bits"), window_bits.as_ref(), 9, 15);
    bounded(cx, &at.field("chunk_size"), chunk_size.as_ref(), 4096, 65_536);
    no_effect!(cx, at,
        memory_level: "the compressor sizes its tables by itself",
        window_bits: "the window is always 32 KiB",
        compression_strategy: "there is one strategy",
        chunk_size: "output is as long as it comes",
    );
    let level = cx.choice::<CompressionLevel>(&at.field("compression_level"), *compression_level)?;
    Some(match level {
        CompressionLevel::DefaultCompression => 6,
        other => u32::try_from(other as i32).unwrap_or(6),
    })
}

fn bounded(cx: &mut Context<'_>, at: &At<'_>, value: Option<&google::UInt32Value>, min: u32, max: u32) {
    if let Some(value) = value {
        cx.between(at, value.value, min, max);
    }
}

/// What a route changes; `Some(None)` switches the filter off.
pub(super) fn per_route(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::CompressorPerRoute,
) -> Option<Option<CompressorChange>> {
    use pb::compressor_per_route::Override;
    let pb::CompressorPerRoute { r#override } = message;
    let (at, message) = match r#override {
        Some(Override::Disabled(true)) => return Some(None),
        Some(Override::Disabled(false)) => {
            cx.refuse(&at.field("disabled"), "must be true");
            return None;
        }
        Some(Override::Overrides(message)) => (at.field("overrides"), message),
        None => {
            cx.refuse(at, "needs disabled or overrides");
            return None;
        }
    };
    let pb::CompressorOverrides { response_direction_config, compressor_library } = message;
    let remove = response_direction_config.as_ref().and_then(
        |pb::ResponseDirectionOverrides { remove_accept_encoding_header }| {
            remove_accept_encoding_header.as_ref().map(|v| v.value)
        },
    );
    let level = match compressor_library {
        Some(_) => Some(library(cx, &at.field("compressor_library"), compressor_library.as_ref())?),
        None => None,
    };
    Some(Some(CompressorChange { remove_accept_encoding: remove, level }))
}

pub(super) fn decompressor(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pbde::Decompressor,
) -> Option<Decompressor> {
    let pbde::Decompressor { decompressor_library, request_direction_config, response_direction_config } =
        message;
    let library_at = at.field("decompressor_library");
    let core::TypedExtensionConfig { name: _free_text, typed_config } =
        cx.required(&library_at, decompressor_library.as_ref())?;
    let library_at = library_at.field("typed_config");
    let any = cx.required(&library_at, typed_config.as_ref())?;
    if any.type_url != type_url::GZIP_DECOMPRESSOR {
        cx.unknown_extension(&library_at, any, "decompressor", &[type_url::GZIP_DECOMPRESSOR]);
        return None;
    }
    let message: gzip::decompressor::Gzip = cx.unpack(&library_at, any)?;
    let gzip::decompressor::Gzip { window_bits, chunk_size, max_inflate_ratio } = &message;
    no_effect!(cx, library_at,
        window_bits: "any window is taken",
        chunk_size: "output is as long as it comes",
    );
    let ratio_at = library_at.field("max_inflate_ratio");
    let max_ratio = cx.between(&ratio_at, number(max_inflate_ratio.as_ref(), 100), 1, 1032)?;
    let (request, advertise) = match request_direction_config {
        None => (None, true),
        Some(pbde::decompressor::RequestDirectionConfig { common_config, advertise_accept_encoding }) => {
            (common_config.as_ref(), flag(advertise_accept_encoding.as_ref(), true))
        }
    };
    let response = response_direction_config
        .as_ref()
        .and_then(|pbde::decompressor::ResponseDirectionConfig { common_config }| common_config.as_ref());
    let request_at = at.field("request_direction_config");
    let response_at = at.field("response_direction_config");
    Some(Decompressor {
        request: decompressible(cx, &request_at.field("common_config"), request),
        response: decompressible(cx, &response_at.field("common_config"), response),
        advertise,
        max_ratio,
    })
}

fn decompressible(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&pbde::decompressor::CommonDirectionConfig>,
) -> Decompressible {
    let Some(pbde::decompressor::CommonDirectionConfig { enabled, ignore_no_transform_header }) = message
    else {
        return Decompressible { enabled: true, ignore_no_transform: false };
    };
    Decompressible {
        enabled: feature(cx, &at.field("enabled"), enabled.as_ref()),
        ignore_no_transform: *ignore_no_transform_header,
    }
}
