//! One connection of a tokio server: lines in, tasks out to some pool, answers back in the order of the requests.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{Outcome, each_line, write_answer};

/// Most bytes read at once.
const READ_SIZE: usize = 4096;

/// Accepts clients for ever; each gets a task of its own. `hand_over` gives a line to the pool at once and returns the
/// future of its answer.
pub async fn accept_all<H, F>(port: u16, hand_over: H) -> io::Result<()>
where
    H: Fn(Vec<u8>) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream, hand_over));
    }
}

/// All lines that have arrived together are handed over together, and answered with one write.
async fn serve<H, F>(mut stream: TcpStream, hand_over: H) -> io::Result<()>
where
    H: Fn(Vec<u8>) -> F,
    F: Future<Output = Outcome>,
{
    let (mut input, mut output, mut answers) = (Vec::with_capacity(READ_SIZE), Vec::new(), Vec::new());
    while stream.read_buf(&mut input).await? > 0 {
        let used = each_line(&input, |line| answers.push(hand_over(line.to_vec())));
        input.drain(..used);
        input.reserve(READ_SIZE);
        for answer in answers.drain(..) {
            write_answer(answer.await, &mut output);
        }
        stream.write_all(&output).await?;
        output.clear();
    }
    Ok(())
}
