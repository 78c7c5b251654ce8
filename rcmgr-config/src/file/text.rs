//! Reads the text of a file, up to a maximum length.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use rcmgr_core::{BadConfiguration, MIB};

/// The maximum length of a text, in bytes. It has room for ten thousand named entries with all
/// fields, and limits the harm of a wrong file: parsing needs up to about 130 times its size in
/// memory (measured with TOML that has one short key on each line).
pub(crate) const LARGEST: u64 = 4 * MIB;

/// An error about the whole file.
pub(crate) fn file_error(reason: String) -> BadConfiguration {
    BadConfiguration {
        reason,
        ..BadConfiguration::default()
    }
}

pub(super) fn too_long() -> BadConfiguration {
    file_error("longer than 4 MiB, too large for a limits file".into())
}

pub(super) fn read_text(path: &Path) -> Result<String, BadConfiguration> {
    let mut bytes = Vec::new();
    // One extra byte distinguishes a file that is too long from one of the maximum length.
    open_regular(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| file_error(error.to_string()))?;
    text_of(bytes)
}

/// Opens a regular file. The type is checked first, because opening a pipe would block until
/// another process writes to it.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    File::open(path)
}

/// The bytes as text, if they are UTF-8 and not too long.
pub(crate) fn text_of(bytes: Vec<u8>) -> Result<String, BadConfiguration> {
    if bytes.len() as u64 > LARGEST {
        return Err(too_long());
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        if error.as_bytes().starts_with(&[0xff, 0xfe])
            || error.as_bytes().starts_with(&[0xfe, 0xff])
        {
            return file_error("not UTF-8 text but UTF-16; save the file as UTF-8".into());
        }
        let breaks = error.as_bytes()[..valid]
            .iter()
            .filter(|byte| **byte == b'\n');
        BadConfiguration {
            line: Some(breaks.count() + 1),
            ..file_error("not UTF-8 text".into())
        }
    })
}
