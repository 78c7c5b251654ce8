use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec;

use flate2::bufread::MultiGzDecoder;

use super::event::Event;
use super::kind::EventKind;
use super::notes::{CutOff, Notes};

/// Reads the events of files that are one trace: the older ones first, as a rotation leaves them.
///
/// A file is gzipped, in one member or several, or plain; its first bytes tell. Memory is bounded:
/// one line is held at a time, of at most 1 MiB.
///
/// Whoever wrote a trace may have been stopped at any byte. Of a file whose gzip stream or whose last
/// line ends early, all before that counts, and [`Notes::cut_off`] says where it ended. Any other
/// line that is no event is an error, and so is a gzip stream that is damaged, because what follows
/// can't be trusted.
///
/// A type of event that is not known, or a field, is no error: a newer writer may have it, and the
/// rest is worth reading. They are counted in the notes. An event of an unknown type is given out
/// like any other; what an unknown field says is lost.
///
/// ```no_run
/// use rcmgr_metrics::trace::TraceReader;
///
/// let mut reader = TraceReader::open(["trace.1.json.gz", "trace.json.gz"])?;
/// for event in &mut reader {
///     let (unix_nanos, event) = event?;
///     println!("{unix_nanos} {} {}", event.kind, event.scope_name());
/// }
/// for cut_off in &reader.notes().cut_off {
///     eprintln!("{cut_off}");
/// }
/// # Ok::<(), rcmgr_metrics::trace::TraceError>(())
/// ```
#[derive(Debug)]
pub struct TraceReader {
    files: vec::IntoIter<PathBuf>,
    open: Option<OpenFile>,
    line: Vec<u8>,
    notes: Notes,
    latest: Option<i64>,
    total_bytes: u64,
    bytes_read: Arc<AtomicU64>,
    failed: bool,
}

/// Why a trace can't be read: the file, the line where there is one, and the reason.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {reason}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct TraceError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: Option<u64>,
    /// What is wrong with it.
    pub reason: String,
}

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    lines: Lines,
    /// How many lines were read.
    line: u64,
    is_before_first_event: bool,
}

#[derive(Debug)]
enum Lines {
    Plain(BufReader<CountedFile>),
    Gzip(Box<BufReader<MultiGzDecoder<BufReader<CountedFile>>>>),
}

#[derive(Debug)]
struct CountedFile {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for CountedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The longest line, in bytes: many times what the longest names need.
const LONGEST_LINE: u64 = 1 << 20;

const BUFFER: usize = 64 << 10;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What is behind a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    LineBreak,
    /// The file's end; the line may be cut off.
    File,
    /// The end of a gzip stream that is cut off.
    Gzip,
}

impl TraceReader {
    /// Looks at the files, which are read in this order.
    ///
    /// # Errors
    ///
    /// If one is not there, can't be opened, or is no regular file.
    pub fn open(files: impl IntoIterator<Item: Into<PathBuf>>) -> Result<Self, TraceError> {
        let files: Vec<PathBuf> = files.into_iter().map(Into::into).collect();
        let mut total_bytes = 0;
        for file in &files {
            let length = length(file).map_err(|why| TraceError {
                file: file.clone(),
                line: None,
                reason: why.to_string(),
            })?;
            total_bytes += length;
        }
        Ok(Self {
            files: files.into_iter(),
            open: None,
            line: Vec::new(),
            notes: Notes::default(),
            latest: None,
            total_bytes,
            bytes_read: Arc::default(),
            failed: false,
        })
    }

    /// What was odd about what has been read so far.
    pub const fn notes(&self) -> &Notes {
        &self.notes
    }

    /// How long the files are together, as they lie on the disk.
    pub const fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// How much of that has been read.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    fn next_event(&mut self) -> Result<Option<(i64, Event)>, TraceError> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(path) = self.files.next() else {
                    return Ok(None);
                };
                self.open = Some(OpenFile::open(path, &self.bytes_read)?);
                continue;
            };
            self.line.clear();
            let Some(end) = open.read_line(&mut self.line)? else {
                self.open = None;
                continue;
            };
            let mut unknown_fields = Vec::new();
            let parsed = match self.line.trim_ascii() {
                [] => None,
                text => Some(parse(text, &mut unknown_fields)),
            };
            let cut_off = match end {
                End::LineBreak => None,
                End::File => matches!(parsed, Some(Err(_))).then_some("the last line"),
                End::Gzip => Some("the gzip stream"),
            };
            let event = match parsed {
                Some(Err(reason)) if cut_off.is_none() => return Err(open.next_line(reason)),
                Some(Ok(event)) => Some(event),
                _ => None,
            };
            if end == End::LineBreak || event.is_some() {
                open.line += 1;
            }
            if let Some(what) = cut_off {
                self.notes.cut_off.push(CutOff {
                    file: open.path.clone(),
                    after_line: open.line,
                    what,
                });
            }
            if let Some((time, _)) = event {
                let latest = self.latest.unwrap_or(time);
                if std::mem::take(&mut open.is_before_first_event) && time < latest {
                    self.notes.out_of_order.push(open.path.clone());
                }
                self.latest = Some(latest.max(time));
            }
            if end != End::LineBreak {
                self.open = None;
            }
            if let Some((time, event)) = event {
                self.note(&event, &unknown_fields);
                return Ok(Some((time, event)));
            }
        }
    }

    fn note(&mut self, event: &Event, unknown_fields: &[String]) {
        self.notes.events += 1;
        for field in unknown_fields {
            self.notes.unknown_fields.count(field);
        }
        if let EventKind::Other(name) = &event.kind {
            self.notes.unknown_types.count(name);
        }
    }
}

impl Iterator for TraceReader {
    /// When it was, in nanoseconds since 1970, and what.
    type Item = Result<(i64, Event), TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_event().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

/// To open a pipe would wait for who writes to it, and it could not be read twice.
fn length(path: &Path) -> io::Result<u64> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("is no regular file"));
    }
    File::open(path)?;
    Ok(metadata.len())
}

/// An event and its time, and the fields of the line that are not known.
fn parse(line: &[u8], unknown: &mut Vec<String>) -> Result<(i64, Event), String> {
    let mut json = serde_json::Deserializer::from_slice(line);
    let read = serde_ignored::deserialize(&mut json, |path| unknown.push(path.to_string()));
    let event: Event = read
        .and_then(|event| json.end().map(|()| event))
        .map_err(|error| {
            // Of the text the line is always the first.
            let text = error.to_string();
            let reason = text.split(" at line ").next().unwrap_or(&text);
            format!("no event: {reason}, at column {}", error.column())
        })?;
    let is_of_a_scope = !matches!(event.kind, EventKind::Start | EventKind::Other(_));
    if is_of_a_scope && event.name.is_none() {
        return Err(format!("no event: a {} without a Name", event.kind));
    }
    let time = event
        .unix_nanos()
        .ok_or_else(|| format!("no event: Time {:?} is no time of RFC 3339", event.time))?;
    Ok((time, event))
}

impl OpenFile {
    fn open(path: PathBuf, read: &Arc<AtomicU64>) -> Result<Self, TraceError> {
        let begin = || -> io::Result<Lines> {
            let file = CountedFile {
                file: File::open(&path)?,
                read: read.clone(),
            };
            let mut plain = BufReader::with_capacity(BUFFER, file);
            Ok(match plain.fill_buf()?.starts_with(&GZIP) {
                false => Lines::Plain(plain),
                true => {
                    let gzip = MultiGzDecoder::new(plain);
                    Lines::Gzip(Box::new(BufReader::with_capacity(BUFFER, gzip)))
                }
            })
        };
        match begin() {
            Ok(lines) => Ok(Self {
                path,
                lines,
                line: 0,
                is_before_first_event: true,
            }),
            Err(why) => Err(TraceError {
                file: path,
                line: None,
                reason: why.to_string(),
            }),
        }
    }

    /// An error about the line after those that were read.
    fn next_line(&self, reason: String) -> TraceError {
        TraceError {
            file: self.path.clone(),
            line: Some(self.line + 1),
            reason,
        }
    }

    /// Reads a line; `None` if there is none.
    fn read_line(&mut self, line: &mut Vec<u8>) -> Result<Option<End>, TraceError> {
        let read = match &mut self.lines {
            Lines::Plain(lines) => lines.take(LONGEST_LINE + 1).read_until(b'\n', line),
            Lines::Gzip(lines) => lines.take(LONGEST_LINE + 1).read_until(b'\n', line),
        };
        match read {
            _ if line.len() as u64 > LONGEST_LINE => {
                Err(self.next_line("longer than 1 MiB, which is no event".into()))
            }
            Ok(0) => Ok(None),
            Ok(_) if line.ends_with(b"\n") => Ok(Some(End::LineBreak)),
            Ok(_) => Ok(Some(End::File)),
            Err(why) if why.kind() == ErrorKind::UnexpectedEof => Ok(Some(End::Gzip)),
            Err(why) => Err(self.next_line(why.to_string())),
        }
    }
}
