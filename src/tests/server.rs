//! The whole server, from outside: the real binary, real sockets. Nothing here waits for time to pass; what has to have
//! happened inside the server is read off its log.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

const BINARY: &str = env!("CARGO_BIN_EXE_pool_server");

/// A running server. Killed on drop.
struct Server {
    port: u16,
    process: Child,
    /// The lines of its log. A thread reads them as they come, for a full pipe would stop the server.
    log: Receiver<String>,
}

impl Server {
    /// Starts a server on a free port with these arguments after PORT.
    fn start(arguments: &[&str]) -> Server {
        loop {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).unwrap();
            // Somebody may take the port before the server does: then another one.
            if let Some(server) = Server::start_on(free.port(), arguments) {
                return server;
            }
        }
    }

    /// The same on a given port; `None` if the server gave up.
    fn start_on(port: u16, arguments: &[&str]) -> Option<Server> {
        let mut command = Command::new(BINARY);
        command.arg(port.to_string()).args(arguments).env("POOL_SERVER_LOG", "1").stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        let (sender, log) = mpsc::channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let server = Server { port, process, log };
        server.wait_for_log("[main] listening").then_some(server)
    }

    /// Waits for a line of the log with these words; false if the log ended before.
    fn wait_for_log(&self, words: &str) -> bool {
        self.log.iter().any(|line| line.contains(words))
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Client(BufReader::new(stream))
    }

    fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    fn wait(&mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// One line, with its end.
    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    fn ask(&mut self, request: &str) -> String {
        self.send(format!("{request}\n"));
        self.answer()
    }

    /// Everything up to the end of the stream.
    fn rest(&mut self) -> String {
        let mut text = String::new();
        self.0.read_to_string(&mut text).unwrap();
        text
    }

    fn finish_sending(&self) {
        self.0.get_ref().shutdown(Shutdown::Write).unwrap();
    }
}

fn run_with(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().unwrap()
}

#[test]
fn thirty_clients_at_once_get_what_each_gets_alone() {
    let server = Server::start(&[]);
    let requests: Vec<String> =
        (0..30).map(|n| if n % 3 == 2 { format!("bad {n}") } else { format!("good {n}") }).collect();
    let alone: Vec<String> = requests.iter().map(|request| server.connect().ask(request)).collect();

    let mut clients: Vec<Client> = requests.iter().map(|_| server.connect()).collect();
    for (client, request) in clients.iter_mut().zip(&requests) {
        client.send(format!("{request}\n"));
    }
    let together: Vec<String> = clients.iter_mut().map(Client::answer).collect();
    assert_eq!(together, alone);
    assert_eq!(alone.iter().filter(|answer| *answer == "ERROR: invalid input\n").count(), 10);
    assert_eq!(alone.iter().filter(|answer| answer.starts_with("result: ")).count(), 20);
}

#[test]
fn answers_come_in_the_order_of_the_requests_although_the_first_takes_longest() {
    let server = Server::start(&[]);
    let hello = server.connect().ask("hello");
    let mut client = server.connect();
    client.send("spin 50\nhello\nbad\nSTATS\nhello\r\n");
    assert!(client.answer().starts_with("result: "));
    assert_eq!(client.answer(), hello);
    assert_eq!(client.answer(), "ERROR: invalid input\n");
    assert!(client.answer().starts_with("STATS queue_depth="));
    assert_eq!(client.answer(), hello);
}

#[test]
fn more_requests_in_one_packet_than_the_queue_can_hold_are_all_answered() {
    let server = Server::start(&["2", "3"]);
    let mut client = server.connect();
    let requests: Vec<String> = (0..500).map(|number| format!("request {number}\n")).collect();
    client.send(requests.concat());
    let answers: Vec<String> = requests.iter().map(|_| client.answer()).collect();
    let mut other = server.connect();
    for index in [0, 250, 499] {
        assert_eq!(other.ask(requests[index].trim()), answers[index]);
    }
}

#[test]
fn a_client_that_was_owed_too_much_to_be_read_goes_on_when_its_first_answer_comes() {
    let server = Server::start(&["2", "1"]);
    let mut client = server.connect();
    client.send(format!("spin 100\n{}", "bad\n".repeat(400)));
    assert!(client.answer().starts_with("result: "));
    (0..400).for_each(|_| assert_eq!(client.answer(), "ERROR: invalid input\n"));
}

#[test]
fn a_client_that_has_stopped_sending_gets_its_answers_and_then_the_end() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send("spin 50\n\nunfinished");
    client.finish_sending();
    assert!(client.answer().starts_with("result: "));
    assert_eq!(client.rest(), "ERROR: invalid input\n");
}

#[test]
fn a_line_that_is_too_long_is_answered_in_its_turn_and_is_the_last() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send([b"spin 50\n".as_slice(), &[b'x'; 1_000_000], b"\nhello\n"].concat());
    client.finish_sending();
    assert!(client.answer().starts_with("result: "));
    assert_eq!(client.rest(), "ERROR: line too long\n");
}

#[test]
fn stats_count_each_task_once() {
    let server = Server::start(&["3"]);
    let mut client = server.connect();
    client.send("one\nbad\ntwo\nSTATS\nSTATS\n");
    (0..3).for_each(|_| drop(client.answer()));
    let expected = "STATS queue_depth=0 active_workers=0 completed=2 errors=1\n";
    assert_eq!([client.answer(), client.answer()], [expected, expected]);
}

#[test]
fn a_task_that_runs_too_long_is_given_up_and_the_connection_goes_on() {
    let server = Server::start(&["2", "8", "500"]);
    let mut client = server.connect();
    assert_eq!(client.ask("spin 60000"), "ERROR: timeout\n");
    assert!(client.ask("hello").starts_with("result: "));
    let expected = "STATS queue_depth=0 active_workers=1 completed=1 errors=1\n";
    assert_eq!(client.ask("STATS"), expected);
}

#[test]
fn a_pool_grows_while_tasks_wait_and_shrinks_when_idle() {
    let server = Server::start(&["1-3", "8"]);
    let mut client = server.connect();
    client.send("spin 100\n".repeat(4));
    assert!(server.wait_for_log("[worker-3] started"));
    (0..4).for_each(|_| assert!(client.answer().starts_with("result: ")));
    (0..2).for_each(|_| assert!(server.wait_for_log("] leaves")));
    assert!(client.ask("hello").starts_with("result: "));
}

#[test]
fn on_sigterm_what_was_read_is_answered_and_the_port_is_free_again() {
    let mut server = Server::start(&["2", "8"]);
    let mut busy: Vec<Client> = (0..2).map(|_| server.connect()).collect();
    let mut idle = server.connect();
    busy.iter_mut().for_each(|client| client.send("spin 200\nhello\n"));
    (0..2).for_each(|_| assert!(server.wait_for_log("took request 0 of")));

    server.terminate();
    for client in &mut busy {
        assert_eq!(client.rest().matches("result: ").count(), 2);
    }
    assert_eq!(idle.rest(), "");
    assert_eq!(server.wait().code(), Some(0));
    let again = Server::start_on(server.port, &[]).expect("the port is free");
    assert!(again.connect().ask("hello").starts_with("result: "));
}

#[test]
fn bad_arguments_are_named_and_exit_with_2() {
    for (arguments, name) in [
        (&[][..], "PORT"),
        (&["70000"], "PORT"),
        (&["9090", "0"], "WORKERS"),
        (&["9090", "4", "many"], "CAPACITY"),
        (&["9090", "4", "64", "-1"], "TASK_TIMEOUT_MS"),
        (&["9090", "4", "64", "0", "more"], "surplus argument"),
    ] {
        let output = run_with(arguments);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(message.starts_with(&format!("pool_server: {name}: ")), "{arguments:?}: {message}");
        assert!(message.contains("usage: pool_server PORT"), "{arguments:?}: {message}");
    }
}

#[test]
fn a_port_in_use_is_said_so_and_exits_with_1() {
    let server = Server::start(&[]);
    let output = run_with(&[&server.port.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("Address already in use"));
}

#[test]
fn help_goes_to_stdout_with_examples() {
    let output = run_with(&["--help"]);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("examples:"));
}
