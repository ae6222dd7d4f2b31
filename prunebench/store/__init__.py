"""The store: immutable, hashed records in one directory that any number of processes may use."""

from .directory import KINDS as KINDS
from .directory import RECORDS as RECORDS
from .directory import Store as Store
from .records import Record as Record
from .records import canonical as canonical
from .records import card_hash as card_hash
from .records import file_sha256 as file_sha256
from .records import identify as identify
from .records import read_record as read_record
from .records import sha256_as_it_stands as sha256_as_it_stands
