//! The files of a trace: gzipped, and put aside when they are long enough.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Where a trace is written to.
#[derive(Debug)]
pub struct TraceFiles {
    path: PathBuf,
    rotate_at: Option<u64>,
    keep: usize,
    lines: Lines,
}

/// What takes lines. They are gathered before they are compressed: an event comes in some dozens of
/// pieces, and to compress a piece has a price by itself.
type Lines = BufWriter<GzEncoder<BufWriter<CountedFile>>>;

/// How much is gathered, in bytes.
const GATHERED: usize = 1 << 16;

/// A file, and how much was written to it.
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
    /// Makes the first file.
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

    /// Whether the file is as long as it may be.
    pub fn is_full(&self) -> bool {
        let written = self.lines.get_ref().get_ref().get_ref().bytes;
        self.rotate_at.is_some_and(|most| written >= most)
    }

    /// Ends the file, puts it aside, and begins another.
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

    /// All that was written can be read from the file then.
    fn flush(&mut self) -> io::Result<()> {
        self.lines.flush()
    }
}

fn open(path: &Path) -> io::Result<Lines> {
    let in_file = |why: io::Error| io::Error::new(why.kind(), format!("{}: {why}", path.display()));
    let file = File::create(path).map_err(in_file)?;
    let counted = CountedFile { file, bytes: 0 };
    // Fast: whoever writes very many events has not much time for each.
    let gzip = GzEncoder::new(BufWriter::new(counted), Compression::fast());
    Ok(BufWriter::with_capacity(GATHERED, gzip))
}

/// Gives every file of the rotation the next number; the one beyond the last is gone.
fn put_aside(path: &Path, keep: usize) -> io::Result<()> {
    let place = |number: usize| match number {
        0 => path.to_owned(),
        number => numbered(path, number),
    };
    for number in (0..=keep).rev() {
        let moved = match number == keep {
            true => fs::remove_file(place(number)),
            false => fs::rename(place(number), place(number + 1)),
        };
        if let Err(why) = moved
            && why.kind() != io::ErrorKind::NotFound
        {
            let file = place(number);
            let text = format!("{}: can't be put aside: {why}", file.display());
            return Err(io::Error::new(why.kind(), text));
        }
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
        // Only the endings of traces: a name may have dots of its own.
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

    #[test]
    fn the_oldest_file_goes() {
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
}
