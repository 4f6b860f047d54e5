//! Writes the seeds to `fuzz/corpus`.

use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for (target, _) in fuzz_targets::TARGETS {
        let directory = corpus.join(target);
        fs::create_dir_all(&directory)?;
        for (name, bytes) in fuzz_targets::seeds::of(target) {
            fs::write(directory.join(name), bytes)?;
        }
    }
    Ok(())
}
