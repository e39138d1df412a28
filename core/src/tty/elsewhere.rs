//! There are no terminals here.

use super::Size;
use std::{convert::Infallible, io};

/// Terminals are those of Unix; here there is none.
#[derive(Debug)]
pub struct Terminal(Infallible);

impl Terminal {
    /// Refuses.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn open() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Refuses.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn stdin() -> io::Result<Self> {
        Self::open()
    }

    /// Refuses.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn stdout() -> io::Result<Self> {
        Self::open()
    }

    /// There is none to be read.
    ///
    /// # Errors
    /// None.
    pub async fn read(&self, _: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }

    /// There is none to be written.
    ///
    /// # Errors
    /// None.
    pub async fn write(&self, _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    /// There is none to be written.
    ///
    /// # Errors
    /// None.
    pub async fn write_all(&self, _: &[u8]) -> io::Result<()> {
        match self.0 {}
    }

    /// There is none to be changed.
    ///
    /// # Errors
    /// None.
    pub fn raw(&self) -> io::Result<Mode> {
        match self.0 {}
    }

    /// There is none that has a size.
    ///
    /// # Errors
    /// None.
    pub fn size(&self) -> io::Result<Size> {
        match self.0 {}
    }

    /// There is none that has a size.
    ///
    /// # Errors
    /// None.
    pub fn sizes(&self) -> io::Result<Sizes> {
        match self.0 {}
    }
}

/// Of no terminal.
#[derive(Debug)]
pub struct Mode(Infallible);

impl Mode {
    /// Never asked.
    pub fn resumed(&self) -> u32 {
        match self.0 {}
    }
}

/// Of no terminal.
#[derive(Debug)]
pub struct Sizes(Infallible);

impl Sizes {
    /// Never asked.
    ///
    /// # Errors
    /// None.
    pub async fn changed(&mut self) -> io::Result<Size> {
        match self.0 {}
    }
}
