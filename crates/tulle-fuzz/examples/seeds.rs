//! Writes the seeds of a target into a folder, for libFuzzer: `cargo run -p tulle-fuzz --example seeds TARGET FOLDER`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(target), Some(folder)) = (args.next(), args.next()) else {
        return Err(std::io::Error::other("give the name of a target and a folder"));
    };
    std::fs::create_dir_all(&folder)?;
    for (number, seed) in tulle_fuzz::seeds(&target)?.iter().enumerate() {
        std::fs::write(Path::new(&folder).join(format!("{number:04}")), seed)?;
    }
    Ok(())
}
