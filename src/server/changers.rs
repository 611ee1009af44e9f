//! Who may change classifier, scheduler and s_green.

use super::peer;
use super::token::Token;
use std::net::SocketAddr;

/// Who may.
#[derive(Debug)]
pub enum Changers {
    /// Whoever knows the secret.
    Token(Token),
    /// The user that runs this service, and root, on this machine.
    Own,
    /// Everybody who reaches the port.
    Everybody,
}

/// Who asks for a placement. What is answered takes room on hosts for a while, and is told to oned, the store and
/// the log; so it matters whether anybody will act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The account of the service, where mm_sched runs too, root, or whoever may change something.
    Own,
    /// Somebody on another machine, which the service listens to as it is told: perhaps mm_sched.
    Elsewhere,
    /// Another user of this machine.
    Stranger,
}

/// Why somebody may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The token is missing or wrong.
    Token,
    /// It is another user, or somebody elsewhere.
    Stranger,
}

impl Refusal {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Token => "this changes state and needs the bearer token of serve.token_file",
            Self::Stranger => {
                "this changes state: only the user of the service may, on its machine; set serve.token_file for \
                 others, or serve.open_changes for all"
            }
        }
    }
}

impl Changers {
    /// Who asks, by the Authorization and the ends of the connection.
    pub fn asker(&self, authorization: Option<&[u8]>, peer: Option<SocketAddr>, here: Option<SocketAddr>) -> Origin {
        let own = || Self::Own.allow(None, peer, here).is_ok();
        if self.allow(authorization, peer, here).is_ok() || own() {
            return Origin::Own;
        }
        match peer {
            Some(peer) if !peer.ip().to_canonical().is_loopback() => Origin::Elsewhere,
            _ => Origin::Stranger,
        }
    }

    /// Whether a request may change something, by its Authorization and the ends of its
    /// connection.
    pub fn allow(
        &self,
        authorization: Option<&[u8]>,
        peer: Option<SocketAddr>,
        here: Option<SocketAddr>,
    ) -> Result<(), Refusal> {
        match self {
            Self::Everybody => Ok(()),
            Self::Token(token) => token.allows(authorization).then_some(()).ok_or(Refusal::Token),
            Self::Own => {
                let user = peer.zip(here).and_then(|(peer, here)| peer::user(peer, here));
                match user {
                    Some(user) if is_ours(user, rustix::process::geteuid().as_raw()) => Ok(()),
                    _ => Err(Refusal::Stranger),
                }
            }
        }
    }
}

/// Whether a user is the one that runs this service, or root.
fn is_ours(user: u32, own: u32) -> bool {
    user == own || user == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn our_own_account_and_root_may_and_nobody_else() {
        let told = [(7, 7), (0, 7), (0, 0), (8, 7), (7, 0)].map(|(user, own)| is_ours(user, own));
        assert_eq!(told, [true, true, true, false, false]);
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let here = listener.local_addr().expect("bound");
        let client = TcpStream::connect(here).expect("connects");
        let (_served, peer) = listener.accept().expect("accepts");
        assert_eq!(Changers::Own.allow(None, Some(peer), Some(here)), Ok(()));
        assert_eq!(Changers::Own.allow(None, Some(here), Some(here)), Err(Refusal::Stranger));
        assert_eq!(Changers::Own.allow(None, Some(peer), None), Err(Refusal::Stranger));
        drop(client);
    }

    #[test]
    fn who_asks_is_told_apart() {
        let at = |text: &str| Some(text.parse::<SocketAddr>().expect("an address"));
        let here = at("127.0.0.1:4567");
        for (changers, peer, expected) in [
            (Changers::Everybody, at("127.0.0.1:9"), Origin::Own),
            (Changers::Everybody, at("192.0.2.7:9"), Origin::Own),
            // nobody has this connection
            (Changers::Own, at("127.0.0.1:9"), Origin::Stranger),
            (Changers::Own, at("[::ffff:127.0.0.1]:9"), Origin::Stranger),
            (Changers::Own, at("192.0.2.7:9"), Origin::Elsewhere),
            (Changers::Own, None, Origin::Stranger),
        ] {
            assert_eq!(changers.asker(None, peer, here), expected, "{changers:?} {peer:?}");
        }
    }
}
