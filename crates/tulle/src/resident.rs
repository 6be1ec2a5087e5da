//! Giving back memory that only the start needed.

#![allow(unsafe_code, reason = "madvise takes addresses")]

use std::fs;
use std::os::unix::fs::MetadataExt;

/// Lets the kernel take the program's code out of this process' memory; what is still needed comes back from the page cache at its
/// next use. A start runs through much more code than serving does, and proxies are many.
///
/// Does nothing where the kernel does not tell which mapping that is.
pub(crate) fn release_startup_code() {
    let Some((start, len)) = code_mapping() else { return };
    // SAFETY: the range is this program's code as the kernel lists it: a private mapping of a file that nobody can write while it
    // runs (ETXTBSY), never written itself (it is not writable, and position-independent code has no relocations in it). Dropping
    // its pages makes the kernel map the same bytes again at the next access.
    let result = unsafe { libc::madvise(start as *mut libc::c_void, len, libc::MADV_DONTNEED) };
    if result != 0 {
        tracing::debug!(error = %std::io::Error::last_os_error(), "code of the start stays in memory");
    }
}

/// Address and length of the executable mapping of this program's own file.
fn code_mapping() -> Option<(usize, usize)> {
    let own = fs::metadata("/proc/self/exe").ok()?.ino();
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| executable_range(line, own))
}

/// The range of a line of `/proc/self/maps` (`START-END r-xp OFFSET DEVICE INODE PATH`), if it is executable, read-only, private
/// and of the file `inode`.
fn executable_range(line: &str, inode: u64) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (range, access) = (fields.next()?, fields.next()?);
    if access != "r-xp" || fields.nth(2)?.parse() != Ok(inode) {
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
    fn only_the_code_of_the_own_file_is_chosen() {
        let line = "55b678605000-55b678606000 r-xp 009a5000 fe:00 42 /usr/bin/tulle";
        assert_eq!(executable_range(line, 42), Some((0x55b6_7860_5000, 0x1000)));
        assert_eq!(executable_range(line, 43), None);
        assert_eq!(executable_range(&line.replace("r-xp", "r--p"), 42), None);
    }

    #[test]
    fn the_program_goes_on_after_giving_its_code_back() {
        assert!(code_mapping().is_some());
        release_startup_code();
        assert_eq!((1..=10).sum::<u32>(), 55);
    }
}
