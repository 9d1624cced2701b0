"""What an attacker could learn, as arithmetic on plain arrays: no data are opened here."""
