//! The simulated network as a rig, without faults: one host, on which every call has had all its effects when it
//! returns.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use super::rig::{Beside, Odd};
use crate::net::Network;
use crate::sim::network::{SimNet, SimStream, World};
use crate::sim::tape::Tape;

#[derive(Debug)]
pub(super) struct Simulated {
    net: SimNet,
    world: Rc<RefCell<World>>,
}

impl Simulated {
    pub(super) fn new() -> Simulated {
        let world = Rc::new(RefCell::new(World::new(Tape::quiet())));
        Simulated { net: SimNet::new(&world, true), world }
    }
}

impl Beside for Simulated {
    type Net = SimNet;

    fn network(&mut self) -> &mut SimNet {
        &mut self.net
    }

    fn ip(&self) -> IpAddr {
        self.net.ip()
    }

    fn settle(&mut self) {
        let now = self.world.borrow().now;
        while self.net.step(now) {}
    }

    fn send_urgent(&mut self, stream: &SimStream, byte: u8) -> io::Result<()> {
        Ok(self.world.borrow_mut().send_urgent(stream.number(), byte)?)
    }

    fn odd(&mut self, odd: Odd) -> io::Result<SimStream> {
        match odd {
            Odd::NeverConnected => Err(io::ErrorKind::Unsupported.into()),
            Odd::ToItself => {
                // One port, and nobody listens on it: so it is the one that the connect comes from.
                let (min, max) = (32_768, 60_999);
                self.net.limit_ports(max, max);
                let stream = self
                    .net
                    .connect(&SocketAddr::new(self.net.ip(), max).into(), &(self.net.ip(), max).into());
                self.net.limit_ports(min, max - 1);
                stream
            }
        }
    }

    fn set_send_buffer(&mut self, stream: &SimStream, bytes: usize) -> io::Result<()> {
        self.world.borrow_mut().set_send_buffer(stream.number(), bytes);
        Ok(())
    }
}
