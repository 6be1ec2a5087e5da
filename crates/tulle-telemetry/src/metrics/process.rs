//! What the kernel knows of this process, under the names that Prometheus' own libraries use.

use std::fs;

use super::gauge_set::{Extra, ExtraKind};

/// Ticks of a second in `/proc`: the same on every machine that Linux runs on.
const TICKS: f64 = 100.0;
/// Bytes of a page, where the kernel counts pages.
const PAGE: f64 = 4096.0;

/// Processor time, memory, descriptors and start of this process. What cannot be read is left out.
pub fn process() -> Vec<Extra> {
    let mut out = Vec::new();
    let mut add = |name: &str, kind, help, value: Option<f64>| {
        out.extend(value.map(|value| Extra::metric(name, kind, value).help(help)));
    };
    let (counter, gauge) = (ExtraKind::Counter, ExtraKind::Gauge);
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in parentheses, may hold anything.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let cpu = field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS);
    add("process_cpu_seconds_total", counter, "User and system time, in seconds", cpu);
    add("process_threads", gauge, "Threads", field(20));
    add("process_virtual_memory_bytes", gauge, "Virtual memory", field(23));
    add("process_resident_memory_bytes", gauge, "Resident memory", field(24).map(|pages| pages * PAGE));
    let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
    let boot = boot.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
    let start = boot.zip(field(22)).map(|(boot, ticks)| boot + ticks / TICKS);
    add("process_start_time_seconds", gauge, "When it started, in seconds after 1970", start);
    let open = fs::read_dir("/proc/self/fd").ok().map(|all| all.count() as f64);
    add("process_open_fds", gauge, "Open file descriptors", open);
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let most = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    add("process_max_fds", gauge, "Most file descriptors that may be open", most);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_all_of_them() {
        let all = process();
        let value = |name: &str| all.iter().find(|e| e.name == name).map(|e| e.value);
        assert_eq!(all.len(), 7, "{all:?}");
        assert!(value("process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e5));
        assert!(value("process_start_time_seconds").is_some_and(|at| at > 1.5e9));
        assert!(value("process_open_fds").is_some_and(|n| n >= 3.0));
    }
}
