"""What can go wrong with a bank: one small tree under `BankError`."""


class BankError(Exception):
    """A bank, or a request to it, is not as it must be; the message says what to do."""


class NotABankError(BankError):
    """The place given holds no readable bank.json."""


class BankVersionError(BankError):
    """The bank was written in a format this program does not read."""


class UnknownNameError(BankError):
    """A video, table, space or column that the bank does not hold."""


class BadRowsError(BankError):
    """Rows that a table must not take: unknown or missing columns, nulls, unsorted or non-finite values."""


class BankBusyError(BankError):
    """Another process holds what this one needs, or kept changing the bank under it."""


class StorageError(BankError, OSError):
    """The place where the bank lies cannot be read or written: the disk is full, the store does not answer."""
