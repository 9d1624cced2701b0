"""What a hospital's console does: data taken in and looked at, jobs in processes of their own."""

from medfed.services.hospital.hospital import Hospital

__all__ = ["Hospital"]
