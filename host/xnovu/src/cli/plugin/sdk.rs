//! The guest library, carried inside this program, so that a plugin can be begun anywhere.
//!
//! Owns the list of its files. A test compares it with the directory.

macro_rules! sources {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/", $path)))),*]
    };
}

/// Every file of the SDK, by its path below `sdk/`, and its text.
pub(super) const FILES: &[(&str, &str)] = &sources![
    "rust-macros/Cargo.toml",
    "rust-macros/src/lib.rs",
    "rust/Cargo.toml",
    "rust/src/answer.rs",
    "rust/src/calendar.rs",
    "rust/src/calendar/native.rs",
    "rust/src/error.rs",
    "rust/src/event.rs",
    "rust/src/guest.rs",
    "rust/src/guest/allocator.rs",
    "rust/src/guest/calendar.rs",
    "rust/src/json.rs",
    "rust/src/lib.rs",
    "rust/src/log.rs",
    "rust/src/message.rs",
    "rust/src/rules.rs",
    "rust/src/testing.rs",
    "rust/src/time.rs",
    "rust/src/verdict.rs",
    "rust/wit/rules.wit",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use super::*;

    fn files(dir: &Path, found: &mut BTreeMap<String, String>, root: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found, root);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn the_program_carries_the_whole_sdk() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk");
        let mut found = BTreeMap::new();
        for part in ["rust/src", "rust/wit", "rust-macros/src"] {
            files(&root.join(part), &mut found, &root);
        }
        for manifest in ["rust/Cargo.toml", "rust-macros/Cargo.toml"] {
            found.insert(manifest.to_owned(), fs::read_to_string(root.join(manifest)).unwrap());
        }
        let carried: BTreeMap<String, String> =
            FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        assert_eq!(carried.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
        assert!(carried == found, "the program was compiled before the SDK was changed");
    }
}
