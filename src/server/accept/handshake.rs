//! The start of a connection that is to be private. It is idle until that has come about: a client that leaves it half done
//! keeps nobody from coming.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tracing::debug;

use super::line::Line;
use super::{Phase, Place};
use crate::http::guard::Peer;
use crate::http::metrics::Handshake;
use crate::tls::{Stream, Tls};

/// The connection once both sides have agreed on keys; `None` when that does not come about within the time, or the client
/// has left or has to go. That is counted, and written nowhere: anybody can do it as often as they like.
pub(super) async fn shake_hands(
    tls: &Tls,
    line: Line<TcpStream>,
    peer: Peer,
    limit: Duration,
    place: &mut Place,
) -> Option<Stream<Line<TcpStream>>> {
    let ended = tokio::select! {
        biased;
        () = sleep(limit) => Err(io::ErrorKind::TimedOut.into()),
        _ = place.phase.wait_for(|phase| *phase != Phase::Serving) => Err(io::ErrorKind::Interrupted.into()),
        () = place.seat.state.told_to_leave() => Err(io::ErrorKind::Interrupted.into()),
        ended = agree(tls, line) => ended,
    };
    match ended {
        Ok(stream) => {
            place.open.shook_hands(Handshake::Done);
            Some(stream)
        }
        Err(error) => {
            place.open.shook_hands(outcome(&error));
            debug!(%peer.remote, %error, "no handshake");
            None
        }
    }
}

/// A client that is refused is told why, and hears it: closed with bytes unread, the connection would be reset.
async fn agree(tls: &Tls, line: Line<TcpStream>) -> io::Result<Stream<Line<TcpStream>>> {
    match tls.accept(line).await {
        Ok(stream) => Ok(stream),
        Err((cause, mut line)) => {
            let _ = line.shutdown().await;
            Err(cause)
        }
    }
}

/// Whether the two did not agree, or it never came to that.
fn outcome(error: &io::Error) -> Handshake {
    if error.kind() == io::ErrorKind::InvalidData { Handshake::Failed } else { Handshake::Unfinished }
}
