//! SETTINGS (RFC 9113 section 6.5).

use super::error::{ConnError, ErrorCode};
use super::{Config, Role};

pub(super) const HEADER_TABLE_SIZE: u16 = 1;
pub(super) const ENABLE_PUSH: u16 = 2;
pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(super) const MAX_FRAME_SIZE: u16 = 5;
pub(super) const MAX_HEADER_LIST_SIZE: u16 = 6;
pub(super) const ENABLE_CONNECT_PROTOCOL: u16 = 8;

pub(super) const DEFAULT_WINDOW: u32 = 65_535;
pub(super) const MAX_WINDOW: u32 = 0x7fff_ffff;

/// What the peer has told us, from the RFC's defaults on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) header_table_size: u32,
    /// The lowest that the last SETTINGS frame said on its way to that: entries beyond it are gone.
    pub(super) lowest_table_size: u32,
    pub(super) max_concurrent_streams: u32,
    pub(super) initial_window: u32,
    pub(super) max_frame_size: u32,
    pub(super) connect_protocol: bool,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            header_table_size: 4096,
            lowest_table_size: 4096,
            // No limit by default; ours until the first SETTINGS arrive.
            max_concurrent_streams: 100,
            initial_window: DEFAULT_WINDOW,
            max_frame_size: 16 * 1024,
            connect_protocol: false,
        }
    }
}

impl Peer {
    /// Applies one SETTINGS frame; `first`: the connection's first.
    pub(super) fn apply(&mut self, payload: &[u8], role: Role, first: bool) -> Result<(), ConnError> {
        if !payload.len().is_multiple_of(6) {
            return Err(ConnError::new(
                ErrorCode::FRAME_SIZE_ERROR,
                "SETTINGS of a length that is no multiple of 6",
            ));
        }
        self.lowest_table_size = self.header_table_size;
        if first {
            self.max_concurrent_streams = u32::MAX;
        }
        for setting in payload.chunks_exact(6) {
            let id = u16::from_be_bytes([setting[0], setting[1]]);
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            match id {
                HEADER_TABLE_SIZE => {
                    self.header_table_size = value;
                    self.lowest_table_size = self.lowest_table_size.min(value);
                }
                ENABLE_PUSH if value > 1 || (value == 1 && role == Role::Client) => {
                    return Err(ConnError::protocol("invalid SETTINGS_ENABLE_PUSH"));
                }
                MAX_CONCURRENT_STREAMS => self.max_concurrent_streams = value,
                INITIAL_WINDOW_SIZE if value > MAX_WINDOW => {
                    let what = "SETTINGS_INITIAL_WINDOW_SIZE over 2^31-1";
                    return Err(ConnError::new(ErrorCode::FLOW_CONTROL_ERROR, what));
                }
                INITIAL_WINDOW_SIZE => self.initial_window = value,
                MAX_FRAME_SIZE if !(16_384..1 << 24).contains(&value) => {
                    return Err(ConnError::protocol("invalid SETTINGS_MAX_FRAME_SIZE"));
                }
                MAX_FRAME_SIZE => self.max_frame_size = value,
                ENABLE_CONNECT_PROTOCOL if value > 1 => {
                    return Err(ConnError::protocol("invalid SETTINGS_ENABLE_CONNECT_PROTOCOL"));
                }
                ENABLE_CONNECT_PROTOCOL => self.connect_protocol = value == 1,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Our first SETTINGS.
pub(super) fn ours(config: &Config, role: Role) -> Vec<(u16, u32)> {
    let mut settings = vec![
        (INITIAL_WINDOW_SIZE, config.stream_window),
        (MAX_HEADER_LIST_SIZE, u32::try_from(config.limits.head_bytes).unwrap_or(u32::MAX)),
    ];
    if config.max_frame_size != 16 * 1024 {
        settings.push((MAX_FRAME_SIZE, config.max_frame_size));
    }
    match role {
        Role::Client => settings.push((ENABLE_PUSH, 0)),
        Role::Server => {
            settings.push((MAX_CONCURRENT_STREAMS, config.max_concurrent_streams));
            if config.extended_connect {
                settings.push((ENABLE_CONNECT_PROTOCOL, 1));
            }
        }
    }
    settings
}

/// The configuration with every value within its bounds.
pub(super) fn bounded(mut config: Config) -> Config {
    config.stream_window = config.stream_window.clamp(DEFAULT_WINDOW, MAX_WINDOW);
    config.connection_window = config.connection_window.clamp(DEFAULT_WINDOW, MAX_WINDOW);
    config.max_frame_size = config.max_frame_size.clamp(16 * 1024, (1 << 24) - 1);
    config.encoder_table_size = config.encoder_table_size.min(4096);
    config
}
