//! Sends requests one after another to an API on this machine, on several connections, and reports how long the
//! responses took.
//!
//! `load ADDRESS PATH CONNECTIONS REQUESTS [--revalidate] [--times FILE]`: `{team}` in the path becomes 1 to 200 in
//! turn. With `--revalidate` each request carries the `ETag` of an earlier response. The file gets every time in
//! microseconds.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

const TEAMS: usize = 200;
const UNMEASURED: usize = 20;

/// A path and the `ETag` of its response.
#[derive(Clone)]
struct Question {
    path: String,
    etag: Option<String>,
}

struct Answer {
    status: u16,
    etag: Option<String>,
    bytes: usize,
}

/// A persistent connection. It is blocking, so that only the system is between it and the server.
struct Connection {
    stream: BufReader<TcpStream>,
    address: String,
}

#[expect(clippy::print_stdout, reason = "a program for people and scripts")]
fn main() -> Result<()> {
    let (mut revalidate, mut times_file, mut given) = (false, None, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--revalidate" => revalidate = true,
            "--times" => times_file = Some(arguments.next().context("--times needs a file")?),
            _ => given.push(argument),
        }
    }
    let [address, path, connections, requests] = &given[..] else {
        bail!("load ADDRESS PATH CONNECTIONS REQUESTS [--revalidate] [--times FILE]")
    };
    let (connections, requests): (usize, usize) = (connections.parse()?, requests.parse()?);
    let mut questions: Vec<Question> =
        (1..=TEAMS).map(|team| Question { path: path.replace("{team}", &team.to_string()), etag: None }).collect();

    // Not measured: this warms up the server's connections and statements, or finds the ETags.
    let mut first = Connection::to(address)?;
    let before = if revalidate { TEAMS } else { UNMEASURED };
    for question in questions.iter_mut().take(before) {
        let answer = first.ask(question)?;
        ensure!(answer.status == 200, "{} was answered with {}", question.path, answer.status);
        question.etag = answer.etag.filter(|_| revalidate);
        if revalidate && question.etag.is_none() {
            println!("{}", json!({ "requests": 0, "why": "no ETag yet" }));
            return Ok(());
        }
    }
    let expected = if revalidate { 304 } else { 200 };
    let started = Instant::now();
    let threads: Vec<_> = (0..connections)
        .map(|number| {
            let mut connection = Connection::to(address)?;
            let mut turn = questions.clone();
            turn.rotate_left(number * TEAMS / connections);
            Ok(thread::spawn(move || connection.ask_in_turn(&turn, requests / connections, expected)))
        })
        .collect::<Result<_>>()?;
    let (mut times, mut bytes) = (Vec::with_capacity(requests), 0);
    for thread in threads {
        let (taken, read) = thread.join().ok().context("a thread panicked")??;
        times.extend(taken);
        bytes += read;
    }
    let took = started.elapsed().as_secs_f64();
    if let Some(file) = times_file {
        let mut file = BufWriter::new(File::create(&file).with_context(|| format!("cannot write {file}"))?);
        for time in &times {
            writeln!(file, "{}", time.as_micros())?;
        }
        file.flush()?;
    }
    times.sort_unstable();
    let milliseconds = |percent: usize| times.get((times.len().saturating_sub(1)) * percent / 100).map(in_ms);
    let summary = json!({
        "requests": times.len(),
        "requests_per_second": f64::from(u32::try_from(times.len())?) / took,
        "p50_ms": milliseconds(50),
        "p99_ms": milliseconds(99),
        "bytes_each": bytes / times.len().max(1),
    });
    println!("{summary}");
    Ok(())
}

fn in_ms(time: &Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

impl Connection {
    fn to(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("nothing listens on {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { stream: BufReader::new(stream), address: address.to_owned() })
    }

    /// The times of this many responses, and the total size of their bodies in bytes.
    fn ask_in_turn(
        &mut self,
        questions: &[Question],
        requests: usize,
        expected: u16,
    ) -> Result<(Vec<Duration>, usize)> {
        let (mut times, mut bytes) = (Vec::with_capacity(requests), 0);
        for question in questions.iter().cycle().take(requests) {
            let started = Instant::now();
            let answer = self.ask(question)?;
            times.push(started.elapsed());
            ensure!(answer.status == expected, "{} was answered with {}", question.path, answer.status);
            bytes += answer.bytes;
        }
        Ok((times, bytes))
    }

    fn ask(&mut self, question: &Question) -> Result<Answer> {
        let condition = question.etag.as_ref().map(|etag| format!("if-none-match: {etag}\r\n")).unwrap_or_default();
        let request = format!("GET {} HTTP/1.1\r\nhost: {}\r\n{condition}\r\n", question.path, self.address);
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut status, mut etag, mut length) = (0, None, 0);
        let mut line = String::new();
        loop {
            line.clear();
            ensure!(self.stream.read_line(&mut line)? > 0, "the connection was closed");
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            match line.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("etag") => etag = Some(value.to_owned()),
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse()?,
                Some(_) => {}
                None => status = line.split(' ').nth(1).context("no status")?.parse()?,
            }
        }
        // A 304 may state the length of the body that it omits.
        let bytes = if status == 304 { 0 } else { length };
        let mut body = vec![0; bytes];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, etag, bytes })
    }
}
