//! The files of a trace: gzipped, and rotated by size.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// The files that a trace is written to.
#[derive(Debug)]
pub struct TraceFiles {
    path: PathBuf,
    rotate_at: Option<u64>,
    keep: usize,
    lines: Lines,
}

/// The writer of lines. It collects data before compression, because an event is written in dozens
/// of pieces, and each call of the compressor has a cost.
type Lines = BufWriter<GzEncoder<BufWriter<CountedFile>>>;

/// The size of the buffer before compression, in bytes.
const GATHERED: usize = 1 << 16;

/// A file, and the number of bytes written to it.
#[derive(Debug)]
struct CountedFile {
    file: File,
    bytes: u64,
}

impl Write for CountedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl TraceFiles {
    /// Creates the first file.
    pub fn create(path: PathBuf, rotate_at: Option<u64>, keep: usize) -> io::Result<Self> {
        if rotate_at.is_some() {
            put_aside(&path, keep)?;
        }
        Ok(Self {
            lines: open(&path)?,
            path,
            rotate_at,
            keep,
        })
    }

    /// Whether the file has reached its size limit.
    pub fn is_full(&self) -> bool {
        let written = self.lines.get_ref().get_ref().get_ref().bytes;
        self.rotate_at.is_some_and(|most| written >= most)
    }

    /// Ends the file, rotates it, and starts another.
    pub fn rotate(&mut self) -> io::Result<()> {
        self.finish()?;
        put_aside(&self.path, self.keep)?;
        self.lines = open(&self.path)?;
        Ok(())
    }

    /// Writes the end of the file.
    pub fn finish(&mut self) -> io::Result<()> {
        self.lines.flush()?;
        let gzip = self.lines.get_mut();
        gzip.try_finish()?;
        gzip.get_mut().flush()
    }
}

impl Write for TraceFiles {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lines.write(bytes)
    }

    /// After this, a reader of the file sees all that was written.
    fn flush(&mut self) -> io::Result<()> {
        self.lines.flush()
    }
}

fn open(path: &Path) -> io::Result<Lines> {
    let in_file = |why: io::Error| io::Error::new(why.kind(), format!("{}: {why}", path.display()));
    let file = File::create(path).map_err(in_file)?;
    let counted = CountedFile { file, bytes: 0 };
    // Fast compression: a busy manager leaves little time for each event.
    let gzip = GzEncoder::new(BufWriter::new(counted), Compression::fast());
    Ok(BufWriter::with_capacity(GATHERED, gzip))
}

/// Gives every file of the rotation the next number, and deletes the oldest. A pipe or a
/// device is not moved: the result is an error.
fn put_aside(path: &Path, keep: usize) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        let text = format!("{}: cannot be rotated: it is no file", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let place = |number: usize| match number {
        0 => path.to_owned(),
        number => numbered(path, number),
    };
    let checked = |number: usize, done: io::Result<()>| match done {
        Err(why) if why.kind() != io::ErrorKind::NotFound => {
            let file = place(number);
            let text = format!("{}: cannot be rotated: {why}", file.display());
            Err(io::Error::new(why.kind(), text))
        }
        _ => Ok(()),
    };
    // Files after the first missing number stay, so the cost is that of the files there are, whatever
    // `keep` is. A link counts as a file: it would be moved.
    let is_there = |number: &usize| fs::symlink_metadata(place(*number)).is_ok();
    let files = (0..=keep).take_while(is_there).count();
    if files > keep {
        checked(keep, fs::remove_file(place(keep)))?;
    }
    for number in (0..files.min(keep)).rev() {
        checked(number, fs::rename(place(number), place(number + 1)))?;
    }
    Ok(())
}

/// `trace.json.gz` as `trace.1.json.gz`.
fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut stem = path.file_stem().unwrap_or_default().to_owned();
    let mut ending = OsString::new();
    for part in [path, Path::new(&stem.clone())] {
        let Some(extension) = part.extension() else {
            continue;
        };
        // Only the extensions of traces: the rest of a name may contain dots.
        if extension == "gz" || extension == "json" || extension == "jsonl" || part == path {
            let mut longer = OsString::from(".");
            longer.push(extension);
            longer.push(&ending);
            ending = longer;
            stem = part.file_stem().unwrap_or_default().to_owned();
        }
    }
    stem.push(format!(".{number}"));
    stem.push(ending);
    path.with_file_name(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_before_the_ending() {
        for (name, first) in [
            ("trace.json.gz", "trace.1.json.gz"),
            ("a/my.app.json.gz", "a/my.app.1.json.gz"),
            ("trace.json", "trace.1.json"),
            ("my.trace", "my.1.trace"),
            ("trace", "trace.1"),
            (".trace", ".trace.1"),
        ] {
            assert_eq!(numbered(Path::new(name), 1), Path::new(first));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_is_not_put_aside() {
        let error = put_aside(Path::new("/dev/full"), 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/dev/full: cannot be rotated: it is no file"
        );
        assert!(!fs::metadata("/dev/full").unwrap().is_file());
    }

    #[test]
    fn the_oldest_file_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.json.gz");
        for text in ["one", "two", "three", "four"] {
            put_aside(&path, 2).unwrap();
            fs::write(&path, text).unwrap();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).ok();
        assert_eq!(read("t.json.gz").as_deref(), Some("four"));
        assert_eq!(read("t.1.json.gz").as_deref(), Some("three"));
        assert_eq!(read("t.2.json.gz").as_deref(), Some("two"));
        assert_eq!(read("t.3.json.gz"), None);
        put_aside(&path, 0).unwrap();
        assert_eq!(read("t.json.gz"), None);
    }

    #[test]
    fn a_rotation_moves_the_files_before_the_first_gap_whatever_number_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.json.gz");
        let file = |name: &str| folder.path().join(name);
        for name in ["t.json.gz", "t.1.json.gz", "t.3.json.gz"] {
            fs::write(file(name), name).unwrap();
        }
        let read = |name: &str| fs::read_to_string(file(name)).ok();
        put_aside(&path, 5).unwrap();
        assert_eq!(read("t.1.json.gz").as_deref(), Some("t.json.gz"));
        assert_eq!(read("t.2.json.gz").as_deref(), Some("t.1.json.gz"));
        assert_eq!(read("t.3.json.gz").as_deref(), Some("t.3.json.gz"));
        assert_eq!(read("t.4.json.gz"), None);
        // It would not end if it looked at each number.
        fs::write(&path, "new").unwrap();
        put_aside(&path, usize::MAX).unwrap();
        assert_eq!(read("t.1.json.gz").as_deref(), Some("new"));
        assert_eq!(read("t.4.json.gz").as_deref(), Some("t.3.json.gz"));
    }
}
