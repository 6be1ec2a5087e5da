//! Which process listens on a port of this machine, as far as this user may know.

use std::fs;
use std::path::Path;

/// `NAME (process N)`, if its descriptors can be read.
pub(super) fn find(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .find_map(|table| listening_inode(&fs::read_to_string(table).ok()?, port))?;
    let wanted = format!("socket:[{inode}]");
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        if holds(&entry.path().join("fd"), &wanted) {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {pid})", name.trim()));
        }
    }
    None
}

fn holds(dir: &Path, socket: &str) -> bool {
    let Ok(entries) = fs::read_dir(dir) else { return false };
    entries.flatten().any(|e| fs::read_link(e.path()).is_ok_and(|to| to.as_os_str() == socket))
}

/// The inode of the socket that listens on a port, from `/proc/net/tcp`.
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, local) = words.get(1)?.rsplit_once(':')?;
        let matches = words.get(3) == Some(&"0A") && u16::from_str_radix(local, 16) == Ok(port);
        matches.then(|| words.get(9)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = find(listener.local_addr().unwrap().port()).unwrap();
        assert!(found.ends_with(&format!("(process {})", std::process::id())), "{found}");
        assert_eq!(find(1), None);
    }
}
