//! Giving back memory that only the start needed.

#![allow(unsafe_code, reason = "madvise takes addresses")]

use std::fs;
use std::os::unix::fs::MetadataExt;

/// Lets the kernel take the program's code and constants out of this process' memory; what is still needed comes back from the page
/// cache at its next use. A start runs through much more code than serving does, the loader reads every relocation once, and
/// proxies are many.
///
/// Does nothing where the kernel does not tell which mappings these are.
pub(crate) fn release_startup_pages() {
    for (start, len) in clean_mappings() {
        // SAFETY: the range is this program's code or its constants as the kernel lists it: a private mapping of a file that nobody
        // can write while it runs (ETXTBSY), never written itself (it is not writable, and position-independent code has relocations
        // only in the segment that is mapped writable first, which is neither of the two). Dropping its pages makes the kernel map
        // the same bytes again at the next access.
        let result = unsafe { libc::madvise(start as *mut libc::c_void, len, libc::MADV_DONTNEED) };
        if result != 0 {
            tracing::debug!(error = %std::io::Error::last_os_error(), "pages of the start stay in memory");
        }
    }
}

/// Address and length of the mappings of this program's own file that never differ from it.
fn clean_mappings() -> Vec<(usize, usize)> {
    let Ok(own) = fs::metadata("/proc/self/exe").map(|m| m.ino()) else { return Vec::new() };
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().filter_map(|line| clean_range(line, own)).collect()
}

/// The range of a line of `/proc/self/maps` (`START-END ACCESS OFFSET DEVICE INODE PATH`), if it is of the file `inode` and either its
/// code (`r-xp`) or its first segment (`r--p` at offset 0: the loader's tables and constants without addresses). Other parts that
/// are read-only now were written by the loader.
fn clean_range(line: &str, inode: u64) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (range, access, offset) = (fields.next()?, fields.next()?, fields.next()?);
    let first = usize::from_str_radix(offset, 16) == Ok(0);
    if !(access == "r-xp" || access == "r--p" && first) || fields.nth(1)?.parse() != Ok(inode) {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    Some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_and_constants_of_the_own_file_are_chosen() {
        let line = "55b678605000-55b678606000 r-xp 009a5000 fe:00 42 /usr/bin/tulle";
        let range = Some((0x55b6_7860_5000, 0x1000));
        assert_eq!(clean_range(line, 42), range);
        assert_eq!(clean_range(line, 43), None);
        let constants = line.replace("r-xp 009a5000", "r--p 00000000");
        assert_eq!(clean_range(&constants, 42), range);
        let relocated = line.replace("r-xp", "r--p");
        assert_eq!(clean_range(&relocated, 42), None, "the loader wrote there");
        assert_eq!(clean_range(&constants.replace("r--p", "rw-p"), 42), None);
    }

    #[test]
    fn the_program_goes_on_after_giving_its_pages_back() {
        assert!(!clean_mappings().is_empty());
        release_startup_pages();
        assert_eq!((1..=10).sum::<u32>(), 55);
    }
}
