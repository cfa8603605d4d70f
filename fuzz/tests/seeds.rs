//! Replays the committed seeds, so that the targets and the library keep together without an engine.

use std::fs;
use std::path::Path;

#[test]
fn every_seed_of_every_target_keeps_the_promises() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for (name, check) in switchboard_fuzz::TARGETS {
        let folder = fs::read_dir(seeds.join(name)).expect("each target has seeds");
        let mut count = 0;
        for entry in folder {
            let path = entry.expect("a folder that is not changed meanwhile").path();
            println!("{}", path.display());
            check(&fs::read(path).expect("a seed is a file"));
            count += 1;
        }
        assert!(count > 0, "{name} has no seeds");
    }
}
