# Announce a ticket of ServiceDesk Plus (on premises) to ai-agents, signed. Windows PowerShell 5.1 or later.
#
# The desk runs it:  powershell -NoProfile -ExecutionPolicy Bypass -File ai_agents_webhook.ps1 $COMPLETE_V3_JSON_FILE
# For changes:       ... -File ai_agents_webhook.ps1 -EventName ticket.updated $COMPLETE_V3_JSON_FILE
# Try it by hand:    ... -File ai_agents_webhook.ps1 -Check
#
# It prints one line for each try. Exit status 0: ai-agents has the ticket (or the check was right). 1: it has not.
param(
    [string] $EventName = 'ticket.created',
    [switch] $Check,
    # With a position, so that no other parameter has one: the desk's path would be taken for $EventName.
    [Parameter(Position = 0, ValueFromRemainingArguments = $true)] [string[]] $JsonFile
)

$Tenant = '@TENANT@'
$Url = '@URL@'
# The secret; or leave it empty, and put it into a file beside this one: ai_agents_webhook.secret
$Secret = '@SECRET@'

# Seconds between the tries. The desk may end a script that runs for long: nothing begins after $MostSeconds.
$Pauses = 1, 2, 4, 8, 16
$MostSeconds = 60
$AnswerSeconds = 10
$Address = 'the URL is wrong: it begins with https:// and ends in /webhook'
# What to mend where a try alone won't do. It is tried again all the same: ai-agents or a proxy may be just changing.
$Remedies = @{
    301 = $Address
    302 = $Address
    307 = $Address
    308 = $Address
    400 = 'an older or damaged copy of this script: print the kit again'
    403 = "the secret is not the one in force, the tenant is misspelt, or this machine's clock is wrong"
    404 = $Address
    405 = $Address
    422 = 'the event has other characters than A-Z, a-z, 0-9, blanks and _.:/-, or this script was changed'
}

function Stop-NotSent([string] $Reason) {
    Write-Output "ai-agents: not sent: $Reason"
    exit 1
}

if (-not $Secret) {
    $beside = [IO.Path]::ChangeExtension($PSCommandPath, '.secret')
    if (-not (Test-Path -LiteralPath $beside)) { Stop-NotSent "the secret is empty, and $beside can't be read" }
    $Secret = [IO.File]::ReadAllText($beside).Trim()
}
if (-not $Secret -or $Secret.StartsWith('PASTE-')) { Stop-NotSent 'the secret is not filled in, at the top of this script' }
if ($Url.Contains('PASTE-')) { Stop-NotSent 'the URL is not filled in, at the top of this script' }
if ($Url -notmatch '^https?://[!-~]+$' -or -not [Uri]::IsWellFormedUriString($Url, 'Absolute')) {
    Stop-NotSent 'the URL, at the top of this script, is not an address like https://api.example.com/webhook, in ASCII'
}

if ($Check) {
    $what = 'check'
    $body = '{"tenant_id": "' + $Tenant + '", "event": "webhook.check"}'
} else {
    # Joined: a path with blanks that nobody quoted comes in pieces.
    $path = $JsonFile -join ' '
    if (-not $path) { Stop-NotSent 'the desk gave no file: the command ends in $COMPLETE_V3_JSON_FILE' }
    try { $told = [IO.File]::ReadAllText($path) | ConvertFrom-Json } catch { Stop-NotSent "the desk's file can't be read as JSON" }
    $request = if ($told.request) { $told.request } else { $told }
    # `id` is the name of version 3; older files have the other one.
    $ticket = if ($request.id) { "$($request.id)".Trim() } else { "$($request.WORKORDERID)".Trim() }
    if ($ticket -notmatch '^[0-9]{1,20}$') { Stop-NotSent "the desk's file has no request with an id" }
    $what = "ticket $ticket"
    $body = '{"tenant_id": "' + $Tenant + '", "ticket_id": "' + $ticket + '", "event": "' + $EventName + '"}'
}

[Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor [Net.SecurityProtocolType]::Tls12
$utf8 = New-Object Text.UTF8Encoding $false
$hmac = New-Object Security.Cryptography.HMACSHA256 (, $utf8.GetBytes($Secret))
# The same at each try: it is known again if an earlier one came through after all.
$delivery = [guid]::NewGuid().ToString()
$end = (Get-Date).AddSeconds($MostSeconds)

foreach ($pause in $Pauses + 0) {
    $timestamp = [string][DateTimeOffset]::UtcNow.ToUnixTimeSeconds()
    $digest = [BitConverter]::ToString($hmac.ComputeHash($utf8.GetBytes("$timestamp.$body"))).Replace('-', '').ToLower()
    $order = @{
        Uri = $Url; Method = 'Post'; Body = $utf8.GetBytes($body); ContentType = 'application/json'
        UseBasicParsing = $true; TimeoutSec = $AnswerSeconds; MaximumRedirection = 0; ErrorAction = 'Stop'
        Headers = @{
            'X-ServiceDesk-Signature' = "sha256=$digest"
            'X-ServiceDesk-Timestamp' = $timestamp
            'X-ServiceDesk-Delivery' = $delivery
        }
    }
    if ($env:HTTPS_PROXY) { $order.Proxy = $env:HTTPS_PROXY }
    $asked = 0
    try {
        $answer = Invoke-WebRequest @order
        $status = [int]$answer.StatusCode
        # A page of a proxy is a success as well: what ai-agents has taken, or verified, it says.
        $ours, $mark = if ($Check) { 200, '"status": ?"verified"' } else { 202, '"job_id": ?"' }
        if ($status -eq $ours -and "$($answer.Content)" -match $mark) {
            Write-Output "ai-agents: ${what}: taken ($status)"
            exit 0
        }
        $told = "$status, but not of ai-agents: is the URL right, or does a proxy answer?"
    } catch {
        $failure = $_
        $told = "no answer ($($failure.Exception.Message))"
        if ($failure.Exception.Response) {
            $status = [int]$failure.Exception.Response.StatusCode
            $told = if ($Remedies[$status]) { "${status}: $($Remedies[$status])" } else { "$status" }
            # What the answer says in its own words; nothing of a page.
            $words = ("$($failure.ErrorDetails.Message)" -replace '[^ -~]+', ' ').Trim()
            if ($words -match '"detail": ?"([^"]*)"') { $words = $Matches[1] }
            if ($words.StartsWith('<')) { $words = '' }
            if ($words) { $told += ', cause: ' + $words.Substring(0, [Math]::Min(200, $words.Length)) }
            [void][int]::TryParse("$($failure.Exception.Response.Headers['Retry-After'])", [ref]$asked)
        }
    }
    $left = ($end - (Get-Date)).TotalSeconds
    if (-not $pause -or $left -le 0) {
        Write-Output "ai-agents: ${what}: $told; given up"
        exit 1
    }
    $wait = [Math]::Min([Math]::Max($pause * (1 + (Get-Random -Maximum 1.0) / 5), $asked), $left)
    Write-Output ("ai-agents: {0}: {1}; again in {2:N1} s" -f $what, $told, $wait)
    Start-Sleep -Milliseconds ([int]($wait * 1000))
}
