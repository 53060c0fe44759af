//! What a server is made of: the headers of its build, its executable's names, the libraries that it has mapped, and the
//! packages that Cargo put into it.

pub mod executable;
pub mod headers;
pub mod mapped;
pub mod packages;

pub use executable::Executable;
pub use headers::Header;
pub use mapped::Mapped;
pub use packages::Package;
