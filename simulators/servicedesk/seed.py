"""What happened at a desk before the first test: solved tickets and articles about everyday subjects."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SeedTicket:
    """A solved ticket."""

    subject: str
    description: str
    category: str
    priority: str
    resolution: str


@dataclass(frozen=True, slots=True)
class SeedSolution:
    """An article of the knowledge base."""

    title: str
    text: str
    topic: str
    keywords: str
    approved: bool = True


SEED_TICKETS = (
    SeedTicket(
        "VPN disconnects every few minutes when working from home",
        "The VPN client connects, but after three to five minutes it drops and asks for the password again.",
        "Network",
        "High",
        "Set the VPN profile to TCP port 443 instead of UDP. Updated the VPN client to the current version. Removed "
        "the old network adapter in Device Manager and restarted.",
    ),
    SeedTicket(
        "Cannot connect to VPN after password change",
        "Since I changed my domain password yesterday the VPN says authentication failed.",
        "Network",
        "High",
        "Deleted the saved VPN password from the Credential Manager. Locked and unlocked the laptop inside the office "
        "network so that the new password was cached. VPN login works again.",
    ),
    SeedTicket(
        "Printer on floor 3 shows offline",
        "The printer near the kitchen is offline for everyone on floor 3, jobs stay in the queue.",
        "Printers",
        "Normal",
        "Restarted the print spooler on the print server. Gave the printer a fixed IP address, because its DHCP lease "
        "had changed. Cleared the stuck jobs from the queue.",
    ),
    SeedTicket(
        "Printer prints blank pages",
        "The office printer feeds paper, but the pages are blank since this morning.",
        "Printers",
        "Low",
        "Replaced the empty toner cartridge. Ran the cleaning cycle from the printer menu. Test page is fine.",
    ),
    SeedTicket(
        "Mailbox is full, cannot send email",
        "Outlook says that my mailbox is over its size limit and that I cannot send messages.",
        "Email",
        "Normal",
        "Enabled the online archive for the mailbox. Moved mail older than two years into the archive. Emptied Deleted "
        "Items. The mailbox is below its quota now.",
    ),
    SeedTicket(
        "Outlook keeps asking for password",
        "Outlook asks for the mailbox password every few minutes, although I tick remember.",
        "Email",
        "Normal",
        "Signed the user out of all Office applications. Deleted the cached Office credentials. Created a new Outlook "
        "profile and signed in once with multi-factor authentication.",
    ),
    SeedTicket(
        "Password reset for locked account",
        "My account is locked after too many wrong passwords, I cannot log in to Windows.",
        "Accounts",
        "High",
        "Unlocked the account in Active Directory. Reset the password through the self-service portal. Removed the old "
        "password from the user's phone, which had caused the lockout.",
    ),
    SeedTicket(
        "Laptop very slow after update",
        "After the last Windows update the laptop takes ten minutes to start and the fan is always on.",
        "Hardware",
        "Normal",
        "Let the search index finish its rebuild. Disabled three unneeded startup programs. Freed 40 GB on the system "
        "disk and updated the storage driver.",
    ),
    SeedTicket(
        "No access to shared drive Finance",
        "I moved to the finance team last week and the shared drive S: says access denied.",
        "File Services",
        "Normal",
        "Added the user to the security group FIN-Share-RW after approval by the owner of the folder. Asked the user "
        "to sign out and in again. The shared drive was mapped by the login script.",
    ),
    SeedTicket(
        "Request for software: diagram editor",
        "I need the diagram editor for the network documentation, please install it on my laptop.",
        "Software",
        "Low",
        "Checked that a licence was free. Assigned the software in the software center. The user installed it from "
        "there without administrator rights.",
    ),
    SeedTicket(
        "Wi-Fi slow and unstable in meeting room",
        "In meeting room 2 the Wi-Fi drops during video calls, at the desk it is fine.",
        "Network",
        "Normal",
        "Moved the access point to a free 5 GHz channel. Lowered its transmit power to stop sticky roaming. Updated "
        "the wireless driver on the affected laptops.",
    ),
    SeedTicket(
        "Second monitor not detected on docking station",
        "Since this morning the docking station shows a picture on one monitor only.",
        "Hardware",
        "Low",
        "Updated the firmware of the docking station. Exchanged the DisplayPort cable. Both monitors work.",
    ),
)

SEED_SOLUTIONS = (
    SeedSolution(
        "VPN: connection drops or login fails",
        "Check that the computer has an internet connection without the VPN. Delete the saved VPN password and sign in "
        "again. Switch the profile to TCP 443 on networks that block UDP. Reinstall the VPN client if the virtual "
        "network adapter is missing.",
        "Network",
        "vpn, remote access, home office",
    ),
    SeedSolution(
        "Printer offline or jobs stuck in the queue",
        "Check power, paper and the network cable of the printer. Remove the stuck jobs from the queue. Restart the "
        "print spooler service. Add the printer again from the print server if it still shows offline.",
        "Printers",
        "printer, offline, spooler, queue",
    ),
    SeedSolution(
        "Mailbox over quota: archive old mail",
        "Turn on the online archive in the mailbox settings. Move mail older than two years to the archive. Empty the "
        "Deleted Items folder. Quota changes take up to one hour.",
        "Email",
        "mailbox, outlook, quota, archive",
    ),
    SeedSolution(
        "Reset a password or unlock an account",
        "Use the self-service portal to reset the password. An account is locked for 30 minutes after ten wrong "
        "passwords. Update the password on phones and tablets, or the account locks again.",
        "Accounts",
        "password, reset, locked, account",
    ),
    SeedSolution(
        "Laptop is slow: first checks",
        "Restart the laptop. Check free disk space, at least 20 GB are needed. Look for programs with high load in the "
        "Task Manager. Install pending updates and driver updates.",
        "Hardware",
        "laptop, slow, performance, update",
    ),
    SeedSolution(
        "Get access to a shared drive",
        "Access to a shared drive is granted by the owner of the folder. Request the security group of the folder in "
        "the portal. Sign out and in again after the approval so that the drive is mapped.",
        "File Services",
        "shared drive, folder, access denied, permission",
    ),
    SeedSolution(
        "Request software from the software center",
        "Open the software center and search for the program. Licensed software needs the approval of your manager. "
        "Installation starts by itself after the approval and needs no administrator rights.",
        "Software",
        "software, install, licence, request",
    ),
    SeedSolution(
        "Wi-Fi: weak signal or dropped calls",
        "Forget the Wi-Fi network and connect again. Prefer the 5 GHz network. Update the wireless driver. Report the "
        "room and the time, so that the access point can be checked.",
        "Network",
        "wi-fi, wireless, wlan, access point",
    ),
    SeedSolution(
        "Draft: new docking stations",
        "Draft for the new docking stations, not yet approved. Update the firmware first.",
        "Hardware",
        "docking station, monitor",
        approved=False,
    ),
)
