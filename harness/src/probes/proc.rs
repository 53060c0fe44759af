//! What /proc says of a thread; see proc(5).

use super::tracer::syscalls::{Class, OnSocket, limited_by, naps, traced, wakes_by_itself};
use procfs::{
    FromRead,
    net::{TcpNetEntry, TcpState},
    process::{FDTarget, Process, Schedstat, Stat, Syscall},
};
use std::{collections::BTreeMap, fs::File, io, os::unix::fs::FileExt, time::Duration};

/// A thread at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadState {
    /// It sleeps in a call: it does nothing until something happens to it.
    pub asleep: bool,
    /// It sleeps in a call that has a deadline of its own.
    pub wakes_by_itself: bool,
    /// It sleeps in a call on this socket, which may have a time limit of its own.
    pub limited_by: Option<OnSocket>,
    /// It sleeps for a time of its own choice, and sees nothing meanwhile.
    pub naps: bool,
    /// How often it was given a processor.
    pub turns: u64,
    /// Processor time that it has used.
    pub cpu: Duration,
    /// Time that it was ready to run and had no processor.
    pub waited: Duration,
}

/// Reads a thread's state. `None` when it is gone.
pub fn thread_state(tid: i32) -> Option<ThreadState> {
    Files::open(tid).ok()?.state()
}

/// What the kernel says of one thread, as long as it lives.
#[derive(Debug)]
struct Files {
    stat: File,
    syscall: File,
    schedstat: File,
}

impl Files {
    fn open(tid: i32) -> io::Result<Self> {
        let open = |name| File::open(format!("/proc/{tid}/task/{tid}/{name}"));
        Ok(Self { stat: open("stat")?, syscall: open("syscall")?, schedstat: open("schedstat")? })
    }

    fn state(&self) -> Option<ThreadState> {
        let state = now::<Stat>(&self.stat)?.state;
        let blocked = match now(&self.syscall) {
            Some(Syscall::Blocked { syscall_number, argument_registers, .. }) => {
                Some((syscall_number, argument_registers))
            }
            _ => None,
        };
        // Last: if it has not grown since an earlier look at which the thread slept, then the thread slept all the while,
        // and what was read in between belongs together.
        let schedule: Schedstat = now(&self.schedstat)?;
        Some(ThreadState {
            // Not `t`: a thread that ptrace has stopped has something to tell that nobody has read yet. Nor `R`: one that has been
            // woken, and whose processor has not heard of it yet, is still said to be blocked in its call.
            asleep: state == 'S' && blocked.is_some(),
            wakes_by_itself: blocked.is_some_and(|(number, args)| wakes_by_itself(number, &args)),
            limited_by: blocked.and_then(|(number, args)| limited_by(number, &args)),
            naps: blocked.is_some_and(|(number, _)| naps(number)),
            turns: schedule.pcount,
            cpu: Duration::from_nanos(schedule.sum_exec_runtime),
            waited: Duration::from_nanos(schedule.run_delay),
        })
    }
}

/// What such a file says now. The kernel writes it anew for whoever reads from its beginning, all of it at once.
fn now<T: FromRead>(file: &File) -> Option<T> {
    /// Longer than any of them: the longest, `stat`, is fifty numbers of twenty digits.
    const LONGEST: usize = 2048;
    let mut text = [0; LONGEST];
    let length = file.read_at(&mut text, 0).ok()?;
    T::from_read(&text[..length]).ok()
}

/// Whether the main thread of a process blocks a signal; see proc_pid_status(5), `SigBlk`. `None` unless it sleeps in a wait
/// for events: elsewhere a tool that runs the program may have blocked everything for a moment.
pub fn blocks(pid: i32, signal: i32) -> Option<bool> {
    let process = Process::new(pid).ok()?;
    let task = process.task_main_thread().ok()?;
    let turns = || Some(task.schedstat().ok()?.pcount);
    let before = turns()?;
    let Syscall::Blocked { syscall_number, .. } = task.syscall().ok()? else { return None };
    let call = traced(u64::try_from(syscall_number).ok()?)?;
    let blocked = process.status().ok()?.sigblk & (1 << (signal - 1)) != 0;
    (matches!(call.class, Class::EpollWait | Class::Poll) && turns()? == before).then_some(blocked)
}

/// How long a thread has been ready to run without a processor, since it began. Zero when it is gone.
pub fn time_without_processor(tid: i32) -> Duration {
    // The second word; see sched-stats in the kernel's documentation.
    let text = std::fs::read_to_string(format!("/proc/{tid}/schedstat")).unwrap_or_default();
    let waited = text.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    Duration::from_nanos(waited.unwrap_or(0))
}

/// How threads sleep that all sleep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sleep {
    /// One of them will wake by itself.
    pub timed: bool,
    /// These sleep in calls on these sockets, which may have a time limit of their own.
    pub limited_by: Vec<(i32, OnSocket)>,
    /// These see nothing until their time is over: what has come for them meanwhile, they will find then.
    pub napping: Vec<i32>,
}

/// Two looks at threads, one after the other: whether nobody ran between them.
#[derive(Debug, Default)]
pub struct Quiet {
    /// How often each thread had been given a processor at the last look, if all slept then.
    turns: Option<BTreeMap<i32, u64>>,
    /// Opening them takes three times as long as reading them, and there are thousands of looks.
    files: BTreeMap<i32, Files>,
}

/// Of so many threads the files stay open.
const MOST_OPEN: usize = 64;

impl Quiet {
    /// Forgets the last look: something has happened since.
    pub fn reset(&mut self) {
        self.turns = None;
    }

    /// Looks at these threads. `Some` if all slept at the last look and sleep now, and none of them has run in
    /// between: then there was a moment at which all slept.
    ///
    /// `None` also when one of them is gone.
    pub fn look(&mut self, tids: impl Iterator<Item = i32>) -> Option<Sleep> {
        let mut turns = BTreeMap::new();
        let mut sleep = Sleep::default();
        for tid in tids {
            let state = self.state(tid).filter(|state| state.asleep);
            let Some(state) = state else {
                self.reset();
                return None;
            };
            sleep.timed |= state.wakes_by_itself;
            sleep.limited_by.extend(state.limited_by.map(|on| (tid, on)));
            if state.naps {
                sleep.napping.push(tid);
            }
            turns.insert(tid, state.turns);
        }
        let before = self.turns.replace(turns);
        (before.is_some() && before == self.turns).then_some(sleep)
    }

    /// As [`thread_state`], by files that stay open.
    pub fn state(&mut self, tid: i32) -> Option<ThreadState> {
        // Of a thread that is gone nothing can be read; another one may have its number.
        if let Some(state) = self.files.get(&tid).and_then(Files::state) {
            return Some(state);
        }
        self.files.remove(&tid);
        let files = Files::open(tid).ok()?;
        let state = files.state();
        if self.files.len() < MOST_OPEN {
            self.files.insert(tid, files);
        }
        state
    }
}

/// The threads of a process.
pub fn threads_of(pid: i32) -> Vec<i32> {
    let tasks = Process::new(pid).and_then(|process| process.tasks());
    tasks.map_or_else(|_| Vec::new(), |tasks| tasks.flatten().map(|task| task.tid).collect())
}

/// The highest number among a process's open descriptors.
pub fn highest_descriptor(pid: i32) -> Option<i32> {
    Process::new(pid).ok()?.fd().ok()?.flatten().map(|info| info.fd).max()
}

/// How many connections wait in the backlog of the listener on this port.
pub fn backlog(port: u16) -> u32 {
    let listens =
        |socket: &TcpNetEntry| socket.state == TcpState::Listen && socket.local_address.port() == port;
    procfs::net::tcp()
        .ok()
        .and_then(|sockets| sockets.into_iter().find(listens))
        .map_or(0, |socket| socket.rx_queue)
}

/// How many connections to this port there are or were a moment ago, seen from the clients' ends.
pub fn connections(port: u16) -> usize {
    let to_it = |socket: &TcpNetEntry| socket.remote_address.port() == port;
    procfs::net::tcp().map_or(0, |sockets| sockets.into_iter().filter(to_it).count())
}

/// The port at the other end of a process's socket. Slow, for where the descriptor itself cannot be had.
pub fn peer_port(pid: i32, fd: i32) -> Option<u16> {
    let FDTarget::Socket(inode) = Process::new(pid).ok()?.fd_from_fd(fd).ok()?.target else { return None };
    let sockets = procfs::net::tcp().ok()?.into_iter().chain(procfs::net::tcp6().unwrap_or_default());
    sockets.into_iter().find(|socket| socket.inode == inode).map(|socket| socket.remote_address.port())
}

/// Whether a process's timerfd will expire, once or again and again; see proc_pid_fdinfo(5), `it_value`, `it_interval`.
pub fn timer_is_armed(pid: i32, fd: i32) -> bool {
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
    info.lines().any(|line| line.starts_with("it_") && line.contains(|c: char| ('1'..='9').contains(&c)))
}

/// The process that a thread's pidfd stands for; see pidfd_open(2). `None` when it is gone, or the descriptor is no pidfd.
pub fn process_of_pidfd(tid: i32, fd: i32) -> Option<i32> {
    let info = std::fs::read_to_string(format!("/proc/{tid}/fdinfo/{fd}")).ok()?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    pid.trim().parse().ok().filter(|pid| *pid > 0)
}

/// The process that a thread belongs to. `None` when it is gone.
pub fn process_of(tid: i32) -> Option<i32> {
    Process::new(tid).ok()?.status().ok().map(|status| status.tgid)
}
